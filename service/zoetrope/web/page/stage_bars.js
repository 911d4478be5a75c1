// The progress of a job: one bar for each stage, and the same as text.

import { make } from "./element.js";
import { count, percent, span } from "./format.js";

// The engine is done with it, and this takes the time.
const BROUGHT = { fetch: "its file is being fetched", check: "its video is being checked" };

/** The bars of one job. */
export class StageBars {
  #bars = new Map();

  constructor() {
    this.node = make("div", { class: "bars" });
  }

  /** Sets them to the progress of the job. */
  show(job) {
    const names = job.stages.map((stage) => stage.name);
    if (names.join() !== [...this.#bars.keys()].join()) {
      this.#bars = new Map(names.map((name) => [name, make("progress", { max: 1, value: 0 })]));
      this.node.replaceChildren(...this.#bars.values());
    }
    for (const stage of job.stages) {
      const bar = this.#bars.get(stage.name);
      const done = fraction(job, stage);
      bar.value = done;
      bar.setAttribute("aria-label", `${stage.name} of ${job.name}`);
      bar.setAttribute("aria-valuetext", percent(done));
    }
  }
}

function fraction(job, stage) {
  if (stage.state === "done") return 1;
  return job.live?.stage === stage.name ? job.live.fraction : 0;
}

/** The progress of a job as text. */
export function progressText(job) {
  const at = job.stages.findIndex((stage) => stage.state !== "done");
  if (job.state === "waiting") return `The ${job.half} picture has arrived; the other picture of the pair is missing.`;
  if (["queued", "running"].includes(job.state) && job.reason) return "Waiting.";
  if (at < 0) return job.stages.length ? "Writing the video to the outbox." : "";
  const stage = job.stages[at];
  const place = job.stages.length > 1 ? ` (${at + 1} of ${job.stages.length})` : "";
  const attempt = stage.attempts.length > 1 ? `, attempt ${stage.attempts.length}` : "";
  const name = `${stage.name}${place}${attempt}`;
  if (!job.live) return job.state === "running" ? name : `Next: ${name}`;
  const { value, maximum, fraction: done, eta, behind, brings } = job.live;
  // How long those take, only their clients know: no time that is left.
  if (behind) return `Next: ${name}, behind ${count(behind, "prompt")} of other clients`;
  if (job.state === "queued") return `Next: ${name}`;
  if (brings) return `${name}: made; ${BROUGHT[brings]}`;
  const step = maximum > 1 ? `, step ${Math.round(value)} of ${Math.round(maximum)}` : "";
  const left = eta === null || eta === undefined ? "" : `, about ${span(eta)} left`;
  return `${name}: ${percent(done)}${step}${left}`;
}
