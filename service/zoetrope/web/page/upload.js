// Uploads of pictures to the service.

import { upload as send } from "./api.js";
import { button, make, setText } from "./element.js";
import { percent } from "./format.js";
import { announce } from "./notice.js";

/** One job's pictures with their ticket; shows the progress of the upload and its result. */
export class Upload {
  #halt = null;

  constructor(library, files, ticket) {
    this.library = library;
    this.files = files;
    this.ticket = ticket;
    this.name = files.map((file) => file.name).join(" and ");
    this.bar = make("progress", { max: 1, value: 0, "aria-label": `uploading ${this.name}` });
    this.line = make("p", { class: "line" }, "Waiting to upload.");
    this.acts = make("div", { class: "acts" }, button("Cancel", () => this.#stop(), { class: "plain", "aria-label": `Cancel the upload of ${this.name}` }));
    this.node = make("li", { class: "upload" }, make("h3", {}, this.name), this.bar, this.line, this.acts);
  }

  /** Sends it; a rejected upload stays with its reason until it is sent again or discarded. */
  async send(parent = "") {
    if (!this.node.isConnected) return; // stopped before it began
    this.#halt = new AbortController();
    this.#show("");
    try {
      const sent = (share) => {
        this.bar.value = share;
        setText(this.line, share < 1 ? `${percent(share)} uploaded` : "The service checks the upload.");
      };
      this.library.put(await send(this.#form(), { parent, sent, signal: this.#halt.signal }));
      announce(`${this.name} is queued.`);
      this.node.remove();
    } catch (problem) {
      this.#rejected(problem);
    }
  }

  #form() {
    const form = new FormData();
    const [image, end] = this.files;
    form.append("ticket", JSON.stringify(this.ticket));
    form.append("image", image, image.name);
    if (end) form.append("end", end, end.name);
    return form;
  }

  #show(text) {
    this.node.classList.toggle("bad", Boolean(text));
    setText(this.line, text);
  }

  #rejected(problem) {
    this.bar.value = 0;
    this.#show(problem.words);
    this.line.setAttribute("role", "alert");
    const duplicate = problem.key === "duplicate" && problem.job;
    const label = duplicate ? "Run anyway" : "Upload again";
    this.acts.replaceChildren(
      button(label, () => this.send(duplicate ? problem.job : ""), { "aria-label": `${label}: ${this.name}` }),
      button("Discard", () => this.node.remove(), { class: "plain", "aria-label": `Discard ${this.name}` }));
  }

  #stop() {
    this.#halt?.abort();
    this.node.remove();
  }
}
