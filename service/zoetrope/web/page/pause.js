// The pause: one button that begins and ends it, one for stages that still run meanwhile, one to run outside the hours.

import { post } from "./api.js";
import { button, byId, setText } from "./element.js";
import { announce, attempt } from "./notice.js";

let paused = false;
let toggle;
let interrupt;
let runNow;

/** Makes the buttons; `changed` gets the status after each press. */
export function makePause(changed) {
  const ask = async (path, body, said) => {
    const status = await attempt(() => post(path, body));
    if (!status) return;
    announce(said);
    changed(status);
  };
  toggle = button("Pause", () => (paused
    ? ask("/resume", undefined, "Resumed.")
    : ask("/pause", {}, "Paused: no stage starts. Running stages go on.")),
  { id: "pause", class: "plain", hidden: true });
  interrupt = button("Interrupt running stages",
    () => ask("/pause", { now: true }, "Running stages were interrupted; they begin anew after the pause."),
    { id: "interrupt", class: "plain", hidden: true });
  runNow = button("Run now", () => ask("/resume", { now: true }, "Stages start now, until the working hours begin."),
    { id: "run-now", class: "plain", hidden: true });
  byId("pause-acts").replaceChildren(toggle, runNow, interrupt);
}

/** Shows the buttons that fit a status. */
export function showPause({ standstill, outside_hours: outside, counts, problem }) {
  paused = standstill?.by_user ?? false;
  // A service without a ledger has nothing to pause.
  setText(toggle, problem ? "" : paused ? "Resume" : "Pause");
  interrupt.hidden = !paused || !counts.running;
  runNow.hidden = Boolean(problem) || !standstill || paused;
  // What a user or an operator wanted is nothing bad.
  byId("paused").className = standstill || outside ? "quiet" : "why";
}
