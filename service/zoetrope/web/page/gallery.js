// The finished videos, and their search.

import { saving } from "./api.js";
import { button, byId, make, setText } from "./element.js";
import { again } from "./decide.js";
import { count, moment } from "./format.js";
import { removal } from "./kept.js";
import { attempt } from "./notice.js";
import { posterPlayer } from "./player.js";
import { details } from "./receipt.js";
import { Rows } from "./rows.js";

const PAUSE = 300; // ms after the last change until the service is asked

/** Shows the gallery with its search. */
export function showGallery(library, { repeat }) {
  const list = library.gallery;
  const rows = new Rows(byId("gallery-rows"), (job) => entry(library, job, repeat), byId("gallery-title"));
  const more = byId("gallery-more");
  let timer = 0;
  const matches = byId("gallery-count");
  list.addEventListener("change", () => {
    const { jobs, loaded } = list;
    rows.show(jobs);
    rows.list.setAttribute("aria-busy", list.busy);
    rows.list.dataset.search = loaded ?? "";
    more.hidden = !list.more;
    byId("gallery-search").hidden = !list.text && !jobs.length;
    setText(byId("gallery-empty"), loaded === "" && !jobs.length ? "Finished videos appear here." : "");
    // While a search is under way, the count of the one before stays: each result is read aloud once.
    if (!list.busy) matches.textContent = loaded ? result(jobs.length, list.more) : "";
  });
  more.addEventListener("click", () => attempt(() => list.extend()));
  byId("gallery-text").addEventListener("input", ({ target }) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      list.text = target.value;
      attempt(() => list.load());
    }, PAUSE);
  });
}

function result(number, more) {
  if (!number) return "No video matches the search. Each word has to be in the name, the prompt or the id of the job.";
  return more ? `More than ${number} videos match.` : `${count(number, "video matches", "videos match")}.`;
}

function entry(library, job, repeat) {
  const frame = make("div", { class: "frame" });
  const warned = make("p", { class: "why" });
  const save = make("a", { class: "button", "aria-label": `Download ${job.name}` }, "Download");
  const place = make("p", { class: "quiet" });
  const node = make("li", { class: "video", "data-job": job.id },
    frame,
    make("h3", {}, job.stem || job.name),
    make("p", { class: "quiet" }, `${job.recipe}, ${moment(job.updated)}`),
    warned,
    place,
    make("div", { class: "acts" },
      save,
      button("Another seed", () => again(library, job), { class: "plain", "aria-label": `Run ${job.name} again with another seed` }),
      button("Change…", () => repeat(job), { class: "plain", "aria-label": `Change the prompt of ${job.name} and run it again` })),
    details(job));
  return {
    node,
    show(shown) {
      setText(warned, (shown.warnings ?? []).join(" "));
      setText(place, removal(shown) || (shown.video ? "" : shown.outbox));
      save.hidden = !shown.video;
      if (shown.video && save.getAttribute("href") !== saving(shown.video)) {
        save.href = saving(shown.video);
        frame.replaceChildren(...posterPlayer(shown));
      }
    },
  };
}
