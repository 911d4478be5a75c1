// The same picture again, with another prompt or another seed.

import { again } from "./decide.js";
import { byId, setText } from "./element.js";
import { Preflight } from "./preflight.js";
import { Ticket } from "./ticket.js";

/** The dialog that asks what to change. */
export class Repeat {
  #ticket = new Ticket("repeat", { presets: false });
  #job = null;

  constructor(library, recipes) {
    this.library = library;
    this.recipes = recipes;
    this.dialog = byId("repeat");
    this.preflight = new Preflight(byId("repeat-preflight"), () => this.#request());
    byId("repeat-fields").append(this.#ticket.node);
    byId("repeat-close").addEventListener("click", () => this.dialog.close());
    for (const kind of ["input", "change"]) byId("repeat-form").addEventListener(kind, () => this.preflight.changed());
    byId("repeat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  /** Opens it for a job, filled in as that job's ticket was; the seed is left empty. */
  open(job) {
    this.#job = job;
    setText(byId("repeat-name"), job.name);
    setText(byId("repeat-seed"), `The earlier seed is ${job.seed}. Leave the seed empty for a random one.`);
    this.preflight.clear();
    this.#ticket.show(this.recipes.get(job.recipe) ?? null, this.#earlier);
    this.dialog.showModal();
    this.#ticket.focus();
  }

  get #earlier() {
    return { ...this.#job.ticket, seed: null };
  }

  #request() {
    const [picture] = this.#job.pictures;
    const size = picture ? { picture: { width: picture.width, height: picture.height } } : {};
    return { ticket: this.#ticket.over(this.#earlier), ...size };
  }

  async #send() {
    const changes = this.#ticket.changes(this.#earlier);
    if (await again(this.library, this.#job, changes)) this.dialog.close();
  }
}
