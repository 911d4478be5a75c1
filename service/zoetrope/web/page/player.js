// A video in its frame, and its frames one by one.

import { button, make } from "./element.js";

const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/** Makes a player; a looping one starts by itself, silently, unless motion is not wanted. */
export function player(job, { loop = false } = {}) {
  const first = job.pictures[0];
  const video = make("video", {
    controls: !loop, playsinline: true, loop, "aria-label": `Video of ${job.name}`,
    preload: loop ? "auto" : "none",
    // The size of the source keeps the place until the video's own is known.
    width: first?.width, height: first?.height,
    src: job.video || null, poster: job.poster || null,
  });
  video.muted = true;
  if (loop && !CALM.matches) video.autoplay = true;
  return video;
}

/** Makes what a looping player is steered by: play, and a slider whose every step is a frame. */
export function frames(video, rate) {
  const slider = make("input", { type: "range", class: "frames", min: 0, max: 0, value: 0, step: 1 });
  slider.setAttribute("aria-label", "Frame");
  const told = make("output", { class: "quiet" }, "frame –");
  const last = () => Math.max(0, Math.round(video.duration * rate) - 1);
  const show = () => {
    const at = Math.min(last(), Math.floor(video.currentTime * rate + 0.01));
    slider.value = at;
    slider.setAttribute("aria-valuetext", `frame ${at + 1} of ${last() + 1}`);
    told.textContent = `frame ${at + 1} of ${last() + 1}`;
  };
  video.addEventListener("loadedmetadata", () => {
    slider.max = last();
    show();
  });
  slider.addEventListener("input", () => {
    video.pause();
    // The middle of a frame, so that rounding cannot show its neighbour.
    video.currentTime = (Number(slider.value) + 0.5) / rate;
  });
  video.addEventListener("seeked", show);
  const follow = () => {
    if (!video.isConnected) return;
    if (!video.paused) show();
    video.requestVideoFrameCallback?.(follow);
  };
  video.requestVideoFrameCallback?.(follow);
  return make("div", { class: "scrub" }, playing(video), slider, told);
}

function playing(video) {
  const turn = () => (video.paused ? video.play().catch(() => {}) : video.pause());
  const pressed = button("Play", turn, { class: "plain" });
  const show = () => {
    pressed.textContent = video.paused ? "Play" : "Pause";
  };
  for (const kind of ["play", "pause"]) video.addEventListener(kind, show);
  video.addEventListener("click", turn);
  return pressed;
}
