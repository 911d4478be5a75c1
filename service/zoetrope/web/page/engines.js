// The engines, the inbox and the outbox: what the service works with.

import { byId, make, setText } from "./element.js";
import { because, count, moment, size } from "./format.js";

/** Shows the engines of the status; `name` finds a job's name by its id. */
export function showEngines(engines, name) {
  byId("engines-rows").replaceChildren(...engines.map((engine) => {
    const state = make("span", { class: `state ${engine.up ? "ok" : "failing"}` }, engine.up ? "up" : "down");
    const kind = [engine.rehearsal ? "simulated" : "ComfyUI", engine.version].filter(Boolean).join(" ");
    const memory = engine.vram_total > 1024 ** 3 ? `${size(engine.vram_free)} of ${size(engine.vram_total)} free` : "";
    const hand = engine.in_hand.map(name).filter(Boolean);
    return make("li", {},
      make("h3", {}, state, " ", engine.name),
      make("p", { class: "quiet" }, [kind, engine.rehearsal ? "" : engine.device, memory].filter(Boolean).join(", ")),
      engine.others ? make("p", { class: "line" }, `In its queue: ${count(engine.others, "prompt")} of other clients.`) : null,
      hand.length ? make("p", { class: "line" }, `Assigned: ${hand.join(", ")}.`) : null,
      engine.up ? null : make("p", { class: "why" }, because(engine.reason) || `Down since ${moment(engine.since)}.`));
  }));
}

// How many are not named: a closed folder may hold thousands.
function more(count = 0, named = [], what) {
  return count > named.length ? [`${count - named.length} more ${what}.`] : [];
}

/** Shows what keeps pictures in the inbox from becoming jobs. */
export function showInbox(inbox) {
  const troubles = [
    ...(inbox?.problem ? [because(inbox.problem)] : []),
    ...(inbox?.held ?? []).map((held) => `${held.name} waits: ${because(held.reason)}`),
    ...more(inbox?.held_count, inbox?.held, "wait"),
    ...(inbox?.unreadable ?? []).map((file) => `${file} cannot be read. Make it readable for the service's group.`),
    ...more(inbox?.unreadable_count, inbox?.unreadable, "cannot be read"),
  ];
  byId("inbox-path").textContent = inbox?.path ?? "";
  byId("inbox").hidden = !inbox;
  byId("inbox-rows").replaceChildren(...troubles.map((trouble) => make("li", { class: "why" }, trouble)));
}

/** Shows what keeps finished videos from reaching the outbox. */
export function showOutbox(outbox) {
  setText(byId("outbox-why"), because(outbox?.problem));
  byId("outbox-path").textContent = outbox?.path ?? "";
  byId("outbox").hidden = !outbox?.problem;
}
