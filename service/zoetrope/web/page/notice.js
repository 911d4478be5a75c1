// Messages: announced to screen readers, and shown in a corner for errors.

import { byId, setText } from "./element.js";

let timer = 0;

/** Announces a success to screen readers. */
export function announce(text) {
  const place = byId("says");
  // The same text twice in a row would not be announced again.
  place.textContent = "";
  clearTimeout(timer);
  timer = setTimeout(() => setText(place, text), 50);
}

/** Shows an error until it is dismissed or something succeeds. */
export function showError(problem) {
  setText(byId("error"), problem.words ?? `Unexpected error in the page: ${problem.message}. Reload the page.`);
  byId("notice").hidden = false;
  if (!problem.words) console.error(problem);
}

/** Dismisses the error. */
export function clearError() {
  byId("notice").hidden = true;
  setText(byId("error"), "");
}

/** Does something and shows its error; returns undefined then. */
export async function attempt(call) {
  try {
    const found = await call();
    clearError();
    return found;
  } catch (problem) {
    showError(problem);
    return undefined;
  }
}
