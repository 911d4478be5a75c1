// What the page says to whoever sits before it: aloud for screen readers, and in a corner where something went wrong.

import { byId, tell } from "./element.js";

let timer = 0;

/** Tells something that went as meant; only for those who hear the page. */
export function say(text) {
  const place = byId("says");
  // Said twice in a row it would not be heard again.
  place.textContent = "";
  clearTimeout(timer);
  timer = setTimeout(() => tell(place, text), 50);
}

/** Tells what went wrong; stays until it is put away or something goes well. */
export function complain(problem) {
  tell(byId("error"), problem.words ?? `Unexpected error in the page: ${problem.message}. Reload the page.`);
  byId("notice").hidden = false;
  if (!problem.words) console.error(problem);
}

/** Puts the complaint away. */
export function settle() {
  byId("notice").hidden = true;
  tell(byId("error"), "");
}

/** Does something, and tells what went wrong with it; gives undefined then. */
export async function attempt(call) {
  try {
    const found = await call();
    settle();
    return found;
  } catch (problem) {
    complain(problem);
    return undefined;
  }
}
