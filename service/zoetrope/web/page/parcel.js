// Pictures on their way to the service.

import { upload } from "./api.js";
import { button, make, tell } from "./element.js";
import { percent } from "./format.js";
import { say } from "./notice.js";

/** One job's pictures with their ticket; shows how far they are, and what came of it. */
export class Parcel {
  #halt = null;

  constructor(library, files, ticket) {
    this.library = library;
    this.files = files;
    this.ticket = ticket;
    this.name = files.map((file) => file.name).join(" and ");
    this.bar = make("progress", { max: 1, value: 0, "aria-label": `sending ${this.name}` });
    this.line = make("p", { class: "line" }, "Waits to be sent.");
    this.acts = make("div", { class: "acts" }, button("Stop", () => this.#stop(), { class: "plain", "aria-label": `Stop sending ${this.name}` }));
    this.node = make("li", { class: "parcel" }, make("h3", {}, this.name), this.bar, this.line, this.acts);
  }

  /** Sends it; what is refused stays with its reason until the person has decided. */
  async send(parent = "") {
    if (!this.node.isConnected) return; // stopped before it began
    this.#halt = new AbortController();
    this.#show("");
    try {
      const sent = (share) => {
        this.bar.value = share;
        tell(this.line, share < 1 ? `${percent(share)} sent` : "The service looks at it.");
      };
      this.library.put(await upload(this.#form(), { parent, sent, signal: this.#halt.signal }));
      say(`${this.name} is queued.`);
      this.node.remove();
    } catch (problem) {
      this.#refused(problem);
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
    tell(this.line, text);
  }

  #refused(problem) {
    this.bar.value = 0;
    this.#show(problem.words);
    this.line.setAttribute("role", "alert");
    const twin = problem.key === "duplicate" && problem.job;
    const label = twin ? "Make it once more" : "Send again";
    this.acts.replaceChildren(
      button(label, () => this.send(twin ? problem.job : ""), { "aria-label": `${label}: ${this.name}` }),
      button("Leave it", () => this.node.remove(), { class: "plain", "aria-label": `Leave ${this.name}` }));
  }

  #stop() {
    this.#halt?.abort();
    this.node.remove();
  }
}
