// The checks: one slit each in the head, and in words with what to do next.

import { byId, make, tell } from "./element.js";
import { count } from "./format.js";

const WORDS = { ok: "All is well", degraded: "Works, with trouble", failing: "Something does not work" };

/** Shows a report of the checks. */
export function showHealth(report) {
  const bad = report.checks.filter((check) => check.level !== "ok");
  const link = byId("health-link");
  link.dataset.level = report.level;
  byId("health-slits").replaceChildren(...report.checks.map(({ level }) => make("i", { class: level })));
  tell(byId("health-word"), bad.length ? `${WORDS[report.level]}: ${bad.map((check) => check.name).join(", ")}` : WORDS.ok);
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
