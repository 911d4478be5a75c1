// The checks: one slit each in the head, and in words with what to do next; beside them, whether jobs failed.

import { byId, make, tell } from "./element.js";
import { count } from "./format.js";

const WORDS = { degraded: "Works, with trouble", failing: "Something does not work" };

let level = "";
let bad = [];
let failed = null; // not known yet

/** Shows how many jobs failed and were not tried again. */
export function showFailed(number) {
  failed = number;
  tell(byId("failed-link"), failed ? `${failed} failed` : "");
  showWord();
}

// What is not known yet is not said to be well.
function showWord() {
  if (!level || failed === null) return;
  const fine = failed ? "Checks passed" : "All is well";
  tell(byId("health-word"), bad.length ? `${WORDS[level]}: ${bad.map((check) => check.name).join(", ")}` : fine);
}

/** Shows a report of the checks. */
export function showHealth(report) {
  level = report.level;
  bad = report.checks.filter((check) => check.level !== "ok");
  byId("health-slits").replaceChildren(...report.checks.map(({ level }) => make("i", { class: level })));
  showWord();
  tell(byId("health-count"), bad.length ? `${bad.length} with trouble` : "");
  byId("health-rows").replaceChildren(...bad.map(row));
  const good = report.checks.filter((check) => check.level === "ok");
  const folded = byId("health-good");
  folded.hidden = !good.length;
  folded.querySelector("summary").textContent = `${count(good.length, "check is", "checks are")} content`;
  folded.querySelector("ul").replaceChildren(...good.map(row));
}

function row({ name, level, found, next_step: next }) {
  return make("li", {},
    make("h3", {}, make("span", { class: `state ${level}` }, level), " ", name),
    make("p", {}, found),
    next ? make("p", { class: "next" }, `What to do: ${next}`) : null);
}
