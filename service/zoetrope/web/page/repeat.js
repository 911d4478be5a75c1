// The same picture once more, with other words or another seed.

import { again } from "./decide.js";
import { byId, tell } from "./element.js";
import { Ticket } from "./ticket.js";

/** The dialog that asks what shall be different. */
export class Repeat {
  #ticket = new Ticket("repeat", { presets: false });
  #job = null;

  constructor(library, recipes) {
    this.library = library;
    this.recipes = recipes;
    this.dialog = byId("repeat");
    byId("repeat-fields").append(this.#ticket.node);
    byId("repeat-close").addEventListener("click", () => this.dialog.close());
    byId("repeat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  /** Opens it for a job, filled in as that job's ticket was; the seed is left to be drawn. */
  open(job) {
    this.#job = job;
    tell(byId("repeat-name"), job.name);
    tell(byId("repeat-seed"), `It was made with the seed ${job.seed}. Left empty, another one is drawn.`);
    this.#ticket.show(this.recipes.get(job.recipe) ?? null, { ...job.ticket, seed: null });
    this.dialog.showModal();
    byId("repeat-prompt").focus();
  }

  async #send() {
    const changes = this.#ticket.changes({ ...this.#job.ticket, seed: null });
    if (await again(this.library, this.#job, changes)) this.dialog.close();
  }
}
