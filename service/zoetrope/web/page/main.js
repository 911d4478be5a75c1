// The whole page: loads everything once, then follows the event stream.

import { checks, get } from "./api.js";
import { Drop } from "./drop.js";
import { byId, setText } from "./element.js";
import { showEnded } from "./ended.js";
import { showEngines, showInbox, showOutbox } from "./engines.js";
import { because, count } from "./format.js";
import { showGallery } from "./gallery.js";
import { Gpu } from "./gpu.js";
import { showFailed, showHealth } from "./health.js";
import { showKept } from "./kept.js";
import { Library } from "./library.js";
import { showLost } from "./lost.js";
import { announce, clearError, showError } from "./notice.js";
import { makePause, showPause } from "./pause.js";
import { showOpening, showQueue } from "./queue.js";
import { Recipes } from "./recipes.js";
import { Repeat } from "./repeat.js";
import { showReview } from "./review.js";
import { Stream } from "./stream.js";

const DELAY = 400; // ms in which several reasons to request the status become one request
const REFRESH = 15000; // ms between two requests for what no event reports
const RETRY = 1000; // ms until a service that is still starting is asked again
const EVENTS = {
  review: "is ready for review", done: "is done", failed: "failed", rejected: "was rejected", cancelled: "was cancelled",
};

const library = new Library();
const recipes = new Recipes();
const repeat = new Repeat(library, recipes);
const context = { recipes, repeat: (job) => repeat.open(job) };
new Drop(library, recipes);
showReview(library, context);
showQueue(library);
makePause(showStatus);
showGallery(library, context);
showEnded(library, context);

// ---- head

let version = "";
let timer = 0;

async function status() {
  showStatus(await get("/status"));
}

function showStatus(found) {
  setText(byId("summary"), found.summary);
  setText(byId("paused"), because(found.problem ?? found.paused ?? found.outside_hours));
  showPause(found);
  showOpening(found.standstill?.until ?? null);
  showFailed(found.counts.failed ?? 0);
  showEngines(found.engines, (id) => library.find(id)?.name);
  showInbox(found.inbox);
  showOutbox(found.outbox);
  showKept(found.keep, (id) => library.find(id)?.name);
  setText(byId("version"), `zoetrope ${found.version}`);
  byId("renewed").hidden = !version || version === found.version;
  version ||= found.version;
}

function statusSoon() {
  timer ||= setTimeout(() => {
    timer = 0;
    status().catch(() => {}); // the banner says that the service does not answer
  }, DELAY);
}

async function health(report) {
  showHealth(report);
  await showLost(library, report);
}

function title() {
  const waiting = library.review.jobs.length;
  setText(byId("review-link"), waiting ? `${count(waiting, "clip")} to review` : "");
  document.title = `${waiting ? `(${waiting}) ` : ""}zoetrope`;
  byId("logo").classList.toggle("turning", library.queue.jobs.some((job) => job.state === "running"));
}

// ---- events

const DOWN = byId("offline").textContent;
let wanted = 0;

async function everything() {
  const mine = (wanted += 1);
  for (;;) {
    try {
      await Promise.all([library.load(), status(), recipes.load(), checks().then(health)]);
      document.body.dataset.ready = "";
      return;
    } catch (problem) {
      if (mine !== wanted) return; // it was begun anew meanwhile
      if (problem.status && problem.status !== 503) return showError(problem);
      setText(byId("summary"), problem.words);
      await new Promise((resolve) => setTimeout(resolve, RETRY));
    }
  }
}

const stream = new Stream();
stream.addEventListener("live", ({ detail: resumed }) => {
  byId("offline").hidden = true;
  delete document.body.dataset.lost;
  clearError(); // what could not be done then can be tried now
  // Unless the stream went on where it ended, events may have been missed.
  if (resumed) statusSoon();
  else everything();
});
stream.addEventListener("lost", () => {
  const banner = byId("offline");
  banner.hidden = false;
  // A service that has no room for this page answers, and says so.
  get("/status").then(() => DOWN, (problem) => (problem.status ? problem.words : DOWN)).then((words) => setText(banner, words));
  document.body.dataset.lost = "";
});
stream.addEventListener("job", ({ detail }) => {
  library.put(detail);
  statusSoon();
});
stream.addEventListener("progress", ({ detail }) => library.progress(detail));
stream.addEventListener("health", ({ detail }) => {
  health(detail).catch(() => {}); // the next report asks again
  statusSoon();
});
library.addEventListener("moved", ({ detail: { job } }) => {
  if (EVENTS[job.state]) announce(`${job.name} ${EVENTS[job.state]}.`);
});
for (const list of library.lists) list.addEventListener("change", title);
byId("dismiss").addEventListener("click", clearError);
byId("reload").addEventListener("click", () => location.reload());
setInterval(() => document.hidden || document.body.dataset.lost !== undefined || statusSoon(), REFRESH);

stream.open();
new Gpu().watch();
