// The same picture once more, with other words or another seed.

import { again } from "./decide.js";
import { byId, tell } from "./element.js";
import { Foresight } from "./reading.js";
import { Ticket } from "./ticket.js";

/** The dialog that asks what shall be different. */
export class Repeat {
  #ticket = new Ticket("repeat", { presets: false });
  #job = null;

  constructor(library, recipes) {
    this.library = library;
    this.recipes = recipes;
    this.dialog = byId("repeat");
    this.foresight = new Foresight(byId("repeat-foresight"), () => this.#wish());
    byId("repeat-fields").append(this.#ticket.node);
    byId("repeat-close").addEventListener("click", () => this.dialog.close());
    for (const kind of ["input", "change"]) byId("repeat-form").addEventListener(kind, () => this.foresight.changed());
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
    this.foresight.clear();
    this.#ticket.show(this.recipes.get(job.recipe) ?? null, this.#earlier);
    this.dialog.showModal();
    this.#ticket.focus();
  }

  get #earlier() {
    return { ...this.#job.ticket, seed: null };
  }

  #wish() {
    const [picture] = this.#job.pictures;
    const size = picture ? { picture: { width: picture.width, height: picture.height } } : {};
    return { ticket: this.#ticket.over(this.#earlier), ...size };
  }

  async #send() {
    const changes = this.#ticket.changes(this.#earlier);
    if (await again(this.library, this.#job, changes)) this.dialog.close();
  }
}
