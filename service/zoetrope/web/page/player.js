// A video in its frame, and its frames one by one.

import { button, draw, make } from "./element.js";

const CALM = matchMedia("(prefers-reduced-motion: reduce)");

function video(job, attributes) {
  const first = job.pictures[0];
  return make("video", {
    playsinline: true, "aria-label": `Video of ${job.name}`,
    // The size of the source keeps the place until the video's own is known.
    width: first?.width, height: first?.height,
    src: job.video, poster: job.poster || null, ...attributes,
  });
}

/** Makes a clip that begins again and again, silently; by itself, unless motion is not wanted. */
export function loop(job) {
  const clip = video(job, { loop: true, preload: "auto" });
  clip.muted = true;
  clip.autoplay = !CALM.matches;
  return clip;
}

/** Makes a video that shows its poster until it is asked to play, in place. */
export function posterPlayer(job) {
  const shown = video(job, { preload: "none" });
  const start = button("", async () => {
    shown.controls = true;
    await shown.play().catch(() => {}); // the controls say why not
    // Not before: the key that pressed the button would reach the video and stop it.
    if (document.activeElement === start) shown.focus();
    start.remove();
  }, { class: "start", "aria-label": `Play ${job.name}` });
  start.append(draw("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, draw("path", { d: "M7 4v16l13-8z" })));
  return [shown, start];
}

/** Makes what a looping player is steered by: play, and a slider whose every step is a frame. */
export function frames(clip, rate) {
  const slider = make("input", { type: "range", class: "frames", min: 0, max: 0, value: 0, step: 1 });
  slider.setAttribute("aria-label", "Frame");
  const counter = make("span", { class: "quiet" }, "frame –"); // an output would be read aloud at every frame
  const last = () => Math.max(0, Math.round(clip.duration * rate) - 1);
  const show = () => {
    const at = Math.min(last(), Math.floor(clip.currentTime * rate + 0.01));
    slider.value = at;
    slider.setAttribute("aria-valuetext", `frame ${at + 1} of ${last() + 1}`);
    counter.textContent = `frame ${at + 1} of ${last() + 1}`;
  };
  clip.addEventListener("loadedmetadata", () => {
    slider.max = last();
    show();
  });
  slider.addEventListener("input", () => {
    clip.pause();
    // The middle of a frame, so that rounding cannot show its neighbour.
    clip.currentTime = (Number(slider.value) + 0.5) / rate;
  });
  clip.addEventListener("seeked", show);
  const follow = () => {
    if (!clip.isConnected) return;
    if (!clip.paused) show();
    clip.requestVideoFrameCallback?.(follow);
  };
  clip.requestVideoFrameCallback?.(follow);
  return make("div", { class: "scrub" }, playing(clip), slider, counter);
}

function playing(clip) {
  const turn = () => (clip.paused ? clip.play().catch(() => {}) : clip.pause());
  const pressed = button("Play", turn, { class: "plain" });
  const show = () => {
    pressed.textContent = clip.paused ? "Play" : "Pause";
  };
  for (const kind of ["play", "pause"]) clip.addEventListener(kind, show);
  clip.addEventListener("click", turn);
  return pressed;
}
