// Lost work: what the ledger has no rows for, and buttons that make a job of it again or remove it.

import { get, post } from "./api.js";
import { button, byId, make, setText } from "./element.js";
import { count, moment, size } from "./format.js";
import { announce, attempt } from "./notice.js";
import { ask } from "./question.js";

let known = "";

/** Shows the lost work; asked for only while a check says that there is some. */
export async function showLost(library, report) {
  const some = report.checks.some((check) => check.name === "lost");
  const page = some ? await get("/lost") : { lost: [], total: 0 };
  const now = JSON.stringify(page);
  if (now === known) return; // an unchanged list is not touched, so that the focus stays
  known = now;
  byId("lost").hidden = !page.total;
  setText(byId("lost-count"), page.total ? `${count(page.total, "job")}` : "");
  byId("lost-rows").replaceChildren(...page.lost.map((note) => row(library, report, note)));
}

function row(library, report, note) {
  const name = note.pictures.map((picture) => picture.name).join(", ") || note.stem;
  const about = [note.ticket?.recipe, note.accepted ? `accepted ${moment(note.accepted)}` : ""].filter(Boolean).join(", ");
  const recover = button("Make a job of it", async () => {
    const job = await attempt(() => post(`/lost/${note.job}/recover`));
    if (!job) return;
    library.put(job);
    announce(`${name} is ${job.state} again.`);
    byId("lost-title").focus();
    await showLost(library, report);
  }, { "aria-label": `Make a job of ${name}` });
  const discard = button("Discard…", async () => {
    if (!await ask(`Remove ${name} and its ticket for good? That frees ${size(note.size)}.`, "Remove")) return;
    if (!await attempt(() => post(`/lost/${note.job}/discard`))) return;
    announce(`${name} is removed.`);
    byId("lost-title").focus();
    await showLost(library, report);
  }, { "aria-label": `Discard ${name}` });
  return make("li", { class: "job" },
    make("div", { class: "what" },
      make("h3", {}, name),
      about ? make("p", { class: "quiet" }, about) : null,
      note.ended ? make("p", { class: "quiet" }, `A user had ${note.ended} it.`) : null,
      note.video ? make("p", { class: "why" }, `Its video is in the outbox already: ${note.video}`) : null),
    make("div", { class: "acts" }, recover, discard));
}
