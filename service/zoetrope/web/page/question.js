// A question before what cannot be undone.

import { byId, setText } from "./element.js";

/** Asks, with the words of the button that does it; resolves to whether it was pressed. */
export function ask(question, label) {
  const dialog = byId("question");
  setText(byId("question-text"), question);
  setText(byId("question-yes"), label);
  dialog.returnValue = "";
  dialog.showModal();
  byId("question-no").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    byId("question-yes").onclick = () => dialog.close("yes");
    byId("question-no").onclick = () => dialog.close();
  });
}
