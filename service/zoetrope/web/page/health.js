// The checks: one bar each in the header, and each result with what to do next; the number of failed jobs.

import { byId, make, setText } from "./element.js";
import { count } from "./format.js";

const WORDS = { degraded: "Degraded", failing: "Failing" };

/** Shows how many jobs failed and were not tried again. */
export function showFailed(number) {
  setText(byId("failed-link"), number ? `${number} failed` : "");
}

/** Shows a report of the checks. */
export function showHealth(report) {
  const bad = report.checks.filter((check) => check.level !== "ok");
  byId("health-bars").replaceChildren(...report.checks.map(({ level }) => make("i", { class: level })));
  setText(byId("health-word"), bad.length ? `${WORDS[report.level]}: ${bad.map((check) => check.name).join(", ")}` : "Checks passed");
  setText(byId("health-count"), bad.length ? `${bad.length} not passed` : "");
  byId("health-rows").replaceChildren(...bad.map(row));
  const good = report.checks.filter((check) => check.level === "ok");
  const folded = byId("health-good");
  folded.hidden = !good.length;
  folded.querySelector("summary").textContent = `${count(good.length, "check")} passed`;
  folded.querySelector("ul").replaceChildren(...good.map(row));
}

function row({ name, level, found, next_step: next }) {
  return make("li", {},
    make("h3", {}, make("span", { class: `state ${level}` }, level), " ", name),
    make("p", {}, found),
    next ? make("p", { class: "next" }, `What to do: ${next}`) : null);
}
