// The queue: jobs that run, and jobs that wait.

import { byId, make, setText } from "./element.js";
import { actionButton } from "./decide.js";
import { because, moment } from "./format.js";
import { Rows } from "./rows.js";
import { StageBars, progressText } from "./stage_bars.js";

const SHOWN = 100;
const ORDER = ["running", "queued", "waiting"];

let opening = null; // until when no stage starts, if that is known
let refresh = () => {};

/** Shows from when on stages start; null where they do now, or where nobody knows. */
export function showOpening(moment) {
  if (moment === opening) return;
  opening = moment;
  refresh();
}

/** Shows the queue. */
export function showQueue(library) {
  const list = library.queue;
  refresh = () => list.dispatchEvent(new Event("change"));
  const rows = new Rows(byId("queue-rows"), (job) => row(library, job), byId("queue-title"));
  list.addEventListener("change", () => {
    rows.show(inTurn(list.jobs).slice(0, SHOWN));
    setText(byId("queue-more"), list.jobs.length > SHOWN ? `${list.jobs.length - SHOWN} more jobs are queued.` : "");
    setText(byId("queue-count"), tally(list.jobs));
    byId("queue-empty").hidden = list.jobs.length > 0 || list.loaded === null;
  });
  library.addEventListener("progress", ({ detail }) => rows.get(detail.id)?.advance(detail));
}

// "1 running, 3 queued": the states that there are, each with its number of jobs.
function tally(jobs) {
  const numbers = ORDER.map((state) => [jobs.filter((job) => job.state === state).length, state]);
  return numbers.filter(([number]) => number).map((pair) => pair.join(" ")).join(", ");
}

// Jobs start in order of arrival.
function inTurn(jobs) {
  const place = (job) => ORDER.indexOf(job.state);
  return jobs.sort((one, other) => place(one) - place(other) || one.created - other.created);
}

function row(library, first) {
  const bars = new StageBars();
  const frame = make("span", { class: "thumb" });
  const line = make("p", { class: "line" });
  const why = make("p", { class: "why" });
  const about = make("p", { class: "quiet" });
  const acts = make("div", { class: "acts" }, actionButton(library, first, "cancel", { class: "plain" }));
  const node = make("li", { class: "job", "data-job": first.id },
    frame, make("div", { class: "what" }, make("h3", {}, first.name), about, bars.node, line, why), acts);
  const advance = (job) => {
    bars.show(job);
    const starts = job.state === "queued" && !job.reason && opening ? `, not before ${moment(opening)}` : "";
    setText(line, `${progressText(job)}${starts}`);
  };
  return {
    node,
    advance,
    show(job) {
      node.dataset.state = job.state;
      picture(frame, job.poster);
      const seed = job.stages.length ? `, seed ${job.seed}` : "";
      setText(about, `${job.recipe}${seed}, added ${moment(job.created)}`);
      setText(why, because(job.reason));
      acts.hidden = !job.actions.includes("cancel");
      advance(job);
    },
  };
}

/** Puts a job's picture into its frame, once there is one. */
export function picture(frame, url) {
  const shown = frame.querySelector("img");
  if (!url || shown?.getAttribute("src") === url) return;
  const image = make("img", { src: url, alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.remove());
  frame.replaceChildren(image);
}
