// What a person may do with a job, as buttons.

import { post } from "./api.js";
import { button } from "./element.js";
import { attempt, announce } from "./notice.js";

const LABELS = { approve: "Approve", decline: "Decline", cancel: "Cancel", retry: "Try again" };
const DONE = { approve: "approved", decline: "declined", cancel: "cancelled", retry: "queued again" };

/** Sends a decision and shows the job's new state. */
export async function decide(library, job, action, why = "") {
  const changed = await attempt(() => post(`/jobs/${job.id}/${action}`, why ? { why } : undefined));
  if (!changed) return;
  library.put(changed);
  announce(`${job.name} was ${DONE[action] ?? action}.`);
}

/** Adds a new job from an earlier one; without a seed, the service chooses a random one. */
export async function again(library, job, changes = {}) {
  const made = await attempt(() => post(`/jobs/${job.id}/again`, changes));
  if (!made) return false;
  library.put(made);
  announce(`${job.name} is queued again with seed ${made.seed}.`);
  return true;
}

/** Makes the button for one of a job's actions. */
export function actionButton(library, job, action, { why = () => "", ...attributes } = {}) {
  const label = LABELS[action] ?? action;
  const call = () => decide(library, job, action, why());
  return button(label, call, { "aria-label": `${label} ${job.name}`, ...attributes });
}
