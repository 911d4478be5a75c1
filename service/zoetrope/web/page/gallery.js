// The finished videos, as frames of a strip.

import { saving } from "./api.js";
import { button, byId, make, tell } from "./element.js";
import { again } from "./decide.js";
import { moment } from "./format.js";
import { attempt } from "./notice.js";
import { print } from "./player.js";
import { details } from "./receipt.js";
import { Rows } from "./rows.js";

const PAUSE = 300; // ms after the last letter until a search is asked for

/** Shows the gallery with its search. */
export function showGallery(library, { repeat }) {
  const shelf = library.gallery;
  const rows = new Rows(byId("gallery-rows"), (job) => card(library, job, repeat), byId("gallery-title"));
  const more = byId("gallery-more");
  let timer = 0;
  shelf.addEventListener("change", () => {
    rows.show(shelf.jobs);
    more.hidden = !shelf.more;
    byId("gallery-search").hidden = !shelf.text && !shelf.jobs.length;
    const none = shelf.text ? "No video has these words in its name or prompt." : "Finished videos appear here.";
    tell(byId("gallery-empty"), shelf.loaded && !shelf.jobs.length ? none : "");
  });
  more.addEventListener("click", () => attempt(() => shelf.extend()));
  byId("gallery-text").addEventListener("input", ({ target }) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      shelf.text = target.value.trim();
      attempt(() => shelf.load());
    }, PAUSE);
  });
}

function card(library, job, repeat) {
  const frame = make("div", { class: "frame" });
  const warned = make("p", { class: "why" });
  const save = make("a", { class: "button", "aria-label": `Download ${job.name}` }, "Download");
  const place = make("p", { class: "quiet" });
  const node = make("li", { class: "print", "data-job": job.id },
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
      tell(warned, (shown.warnings ?? []).join(" "));
      tell(place, shown.video ? "" : shown.outbox);
      save.hidden = !shown.video;
      if (shown.video && save.getAttribute("href") !== saving(shown.video)) {
        save.href = saving(shown.video);
        frame.replaceChildren(...print(shown));
      }
    },
  };
}
