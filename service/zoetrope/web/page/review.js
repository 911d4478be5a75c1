// Clips to review, each next to its source picture.

import { find } from "./api.js";
import { again, actionButton } from "./decide.js";
import { button, byId, make, setText } from "./element.js";
import { because, count } from "./format.js";
import { frames, loop } from "./player.js";
import { Rows } from "./rows.js";

/** Shows the clips to review: one large, the others in a strip to choose from. */
export function showReview(library, { recipes, repeat }) {
  const list = library.review;
  const stage = byId("review-stage");
  let chosen = null;
  const choose = (id) => {
    chosen = id;
    show();
  };
  const rows = new Rows(byId("review-strip"), (job) => choice(job, choose), byId("review-title"));
  function show() {
    const jobs = list.jobs.reverse(); // the oldest first
    const job = list.get(chosen) ?? jobs[0];
    chosen = job?.id ?? null;
    const held = byId("review").contains(document.activeElement);
    byId("review").hidden = !jobs.length;
    setText(byId("review-count"), jobs.length ? count(jobs.length, "clip") : "");
    byId("review-strip").hidden = jobs.length < 2;
    rows.show(jobs);
    for (const each of jobs) rows.get(each.id).mark(each.id === chosen);
    const shown = stage.firstElementChild;
    if (job && shown?.dataset.job === job.id && shown.dataset.updated === String(job.updated)) return;
    stage.replaceChildren(...(job ? [open(library, job, recipes, repeat)] : []));
    // The keyboard focus stays here, or goes where the job went.
    if (held && !byId("review").contains(document.activeElement)) byId(job ? "review-title" : "queue-title").focus();
  }
  list.addEventListener("change", show);
}

function choice(job, choose) {
  const pick = make("button", { type: "button", class: "pick", title: job.name, "aria-label": `Review ${job.name}` },
    job.poster ? make("img", { src: job.poster, alt: "" }) : null, make("span", {}, job.name));
  pick.addEventListener("click", () => choose(job.id));
  return {
    node: make("li", {}, pick),
    show() {},
    mark: (on) => pick.setAttribute("aria-current", String(on)),
  };
}

function open(library, job, recipes, repeat) {
  const next = job.stages.filter((stage) => stage.state !== "done").map((stage) => stage.name);
  const clip = job.video ? loop(job) : null;
  const source = make("figure", { class: "frame" }, make("figcaption", {}, "Source picture"));
  const made = make("figure", { class: "frame clip" },
    make("figcaption", {}, "Generated clip"),
    clip ?? make("p", { class: "quiet" }, `The clip is in ${job.outbox}`),
    clip ? frames(clip, recipes.rate(job.recipe)) : null);
  const why = make("input", { type: "text", maxlength: 1000, autocomplete: "off", placeholder: "reason (optional)" });
  const prompt = job.ticket?.prompt;
  const node = make("article", { "data-job": job.id, "data-updated": job.updated, "aria-label": job.name },
    make("h3", {}, job.name),
    make("p", { class: "quiet" }, `${job.recipe}, seed ${job.seed}${next.length ? `; next: ${next.join(", ")}` : ""}`),
    prompt ? make("p", { class: "prompt" }, prompt) : null,
    make("div", { class: "pair" }, source, made),
    ...(job.warnings ?? []).map((warning) => make("p", { class: "why" }, warning)),
    job.reason ? make("p", { class: "why" }, because(job.reason)) : null,
    make("div", { class: "acts" },
      actionButton(library, job, "approve", { class: "main" }),
      button("Another seed", () => again(library, job), { "aria-label": `Run ${job.name} again with another seed` }),
      button("Change…", () => repeat(job), { "aria-label": `Change the prompt of ${job.name} and run it again` }),
      make("span", { class: "declining" },
        actionButton(library, job, "decline", { why: () => why.value.trim() }),
        make("label", {}, make("span", { class: "unseen" }, `Reason for declining ${job.name}`), why))),
    make("p", { class: "quiet" }, "Another seed or prompt starts a new job; this clip stays in review until you approve or decline it."));
  showSource(job, source).catch(() => {}); // the clip can be judged without it
  return node;
}

async function showSource(job, figure) {
  const found = await find(`/jobs/${job.id}/artefacts`);
  const sources = (found?.artefacts ?? []).filter((each) => each.kind === "source");
  figure.append(...sources.map((each, number) => {
    const { width, height, name } = job.pictures[number] ?? {};
    if (each.type.startsWith("video/")) return make("video", { src: each.url, controls: true, loop: true, width, height, "aria-label": name });
    return make("img", { src: each.url, alt: `Source picture ${name ?? ""}`.trim(), width, height });
  }));
  figure.hidden = !sources.length;
}
