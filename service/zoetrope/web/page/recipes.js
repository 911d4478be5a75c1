// The recipes that the service knows, and what may be asked of each.

import { get } from "./api.js";

const RATE = 16; // frames a second of WAN's clips, where a recipe is not known

/** The recipes by name. */
export class Recipes extends EventTarget {
  #all = new Map();

  /** Asks for them; nobody who is filling in a ticket is disturbed where nothing changed. */
  async load() {
    const { recipes } = await get("/recipes");
    if (JSON.stringify(recipes) === JSON.stringify(this.all)) return;
    this.#all = new Map(recipes.map((recipe) => [recipe.name, recipe]));
    this.dispatchEvent(new Event("change"));
  }

  /** All of them. */
  get all() {
    return [...this.#all.values()];
  }

  /** The one that counts where nobody names one. */
  get standard() {
    return this.all.find((recipe) => recipe.default) ?? this.all[0];
  }

  /** Finds one by its name. */
  get(name) {
    return this.#all.get(name);
  }

  /** How many frames a second the clips of a recipe have. */
  rate(name) {
    return this.#all.get(name)?.length?.fps ?? RATE;
  }
}
