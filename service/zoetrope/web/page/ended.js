// Failed, rejected and cancelled jobs: why, and what to do next.

import { again, actionButton } from "./decide.js";
import { button, byId, make, setText } from "./element.js";
import { because, moment } from "./format.js";
import { removal } from "./kept.js";
import { attempt } from "./notice.js";
import { Rows } from "./rows.js";

/** Shows failed, rejected and cancelled jobs. */
export function showEnded(library, { repeat }) {
  const list = library.ended;
  const rows = new Rows(byId("ended-rows"), (job) => row(library, job, repeat), byId("ended-title"));
  list.addEventListener("change", () => {
    rows.show(list.jobs);
    byId("ended").hidden = !list.jobs.length;
    byId("ended-more").hidden = !list.more;
  });
  byId("ended-more").addEventListener("click", () => attempt(() => list.extend()));
  byId("failed-link").addEventListener("click", () => attempt(() => findFailed(list)));
}

// Those that failed may be older than all that is shown.
async function findFailed(list) {
  const failed = () => byId("ended-rows").querySelector("[data-state=failed]");
  while (!failed() && list.more) await list.extend();
  failed()?.scrollIntoView({ block: "center" });
}

function row(library, first, repeat) {
  const state = make("span", { class: "state" });
  const why = make("p", { class: "why" });
  const next = make("p", { class: "next" });
  const about = make("p", { class: "quiet" });
  const tried = make("p", { class: "quiet" });
  const removed = make("p", { class: "quiet" });
  const unreturned = make("p", { class: "why" });
  const acts = make("div", { class: "acts" });
  const node = make("li", { class: "job", "data-job": first.id },
    make("div", { class: "what" }, make("h3", {}, state, " ", first.name), about, why, next, unreturned, tried, removed), acts);
  return {
    node,
    show(job) {
      node.dataset.state = job.state;
      setText(state, job.state);
      setText(about, `${job.recipe}, ${moment(job.updated)}`);
      setText(why, job.reason?.sentence ?? "");
      setText(next, job.reason?.next_step ? `What to do: ${job.reason.next_step}` : "");
      setText(unreturned, because(job.unreturned));
      setText(tried, attempts(job));
      setText(removed, removal(job));
      const retry = job.actions.includes("retry") ? actionButton(library, job, "retry") : null;
      const other = job.actions.includes("again")
        ? [
            job.seed_helps ? button("Another seed", () => again(library, job), { class: "plain", "aria-label": `Run ${job.name} again with another seed` }) : null,
            button("Change…", () => repeat(job), { class: "plain", "aria-label": `Change the prompt of ${job.name} and run it again` }),
          ]
        : [];
      if (!acts.contains(document.activeElement)) acts.replaceChildren(...[retry, ...other].filter(Boolean));
    },
  };
}

function attempts(job) {
  const tries = job.stages.flatMap((stage) =>
    stage.attempts.filter((each) => each.failure).map((each) => `${stage.name}: ${each.failure.message}`));
  return [...new Set(tries)].slice(-3).join(" ");
}
