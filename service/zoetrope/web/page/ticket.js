// The ticket: what is requested with the picture. Its fields are the parameters of the recipe.

import { make } from "./element.js";
import { label as named } from "./format.js";

const OWN = new Set(["prompt", "negative"]); // fields in places of their own, for recipes that take them

/** The fields of a ticket; `values()` gives what was filled in, as the API takes it. */
export class Ticket {
  #recipe = null;
  #inputs = new Map(); // key → its input
  #aside = {}; // texts that the chosen recipe does not take

  /** `id` distinguishes the fields of two tickets on one page. */
  constructor(id, { presets = true } = {}) {
    this.id = id;
    this.presets = presets;
    this.node = make("div", { class: "fields" });
  }

  /** Shows the fields of a recipe, which may be unknown, filled in as an earlier ticket was. */
  show(recipe, ticket = null) {
    const kept = ticket ?? { ...this.#aside, ...this.values() };
    this.#recipe = recipe;
    this.#aside = Object.fromEntries([...OWN].filter((key) => !this.#takes(key) && kept[key]).map((key) => [key, kept[key]]));
    this.#inputs.clear();
    const prompt = make("textarea", { rows: 3, placeholder: "Beat 1 (0-2s): she turns. Beat 2 (2-5s): …" });
    const seed = make("input", { type: "text", inputmode: "numeric", pattern: "[0-9]*", autocomplete: "off", placeholder: "random" });
    this.node.replaceChildren(...[
      this.#takes("prompt") && this.#field("prompt", "Prompt", prompt, kept.prompt ?? ""),
      this.#presets(kept.preset ?? []),
      this.#field("seed", "Seed", seed, kept.seed ?? ""),
      this.#more(kept),
    ].filter(Boolean));
  }

  /** Gives what was filled in; what was left empty is the recipe's to decide. */
  values() {
    const found = {};
    const parameters = {};
    for (const [key, { input, type, inner }] of this.#inputs) {
      const value = read(input, type);
      if (value !== null) (inner ? parameters : found)[key] = value;
    }
    const chosen = [...this.node.querySelectorAll("input[name=preset]:checked")].map((box) => box.value);
    if (chosen.length) found.preset = chosen;
    if (Object.keys(parameters).length) found.parameters = parameters;
    return found;
  }

  /** Gives the difference to an earlier ticket: what was emptied is null, which takes it back. */
  changes(ticket) {
    const now = this.values();
    const changes = {};
    for (const [key, { inner }] of this.#inputs) {
      const [before, after] = inner ? [ticket.parameters?.[key], now.parameters?.[key]] : [ticket[key], now[key]];
      if ((before ?? null) !== (after ?? null)) changes[key] = after ?? null;
    }
    return changes;
  }

  /** Gives an earlier ticket as it stands with these changes; what its presets stood for is among its other values. */
  over(ticket) {
    const { preset, parameters = {}, ...own } = ticket;
    const changes = this.changes(ticket);
    const whole = { ...own, ...parameters, ...changes };
    if (changes.seconds) delete whole.frames; // length is said in one way
    return whole;
  }

  /** Empties what belongs to one picture alone. */
  clear() {
    this.#aside = {};
    for (const key of ["prompt", "seed"]) if (this.#inputs.has(key)) this.#inputs.get(key).input.value = "";
  }

  /** Focuses the first field. */
  focus() {
    const [first] = this.#inputs.values();
    first.input.focus();
  }

  #takes(key) {
    return !this.#recipe || key in this.#recipe.parameters;
  }

  #field(key, label, input, value, { type = "text", inner = false, about = "" } = {}) {
    input.id = `${this.id}-${key}`;
    input.value = value;
    this.#inputs.set(key, { input, type: key === "seed" ? "int" : type, inner });
    const summary = about ? make("small", { id: `${input.id}-about`, class: "quiet" }, about) : null;
    if (summary) input.setAttribute("aria-describedby", summary.id);
    return make("div", { class: "field" }, make("label", { for: input.id }, label), input, summary);
  }

  #presets(chosen) {
    const known = this.presets ? this.#recipe?.presets ?? [] : [];
    if (!known.length) return null;
    const box = ({ name, title, about }) =>
      make("label", { class: "chip", title: about || null },
        make("input", { type: "checkbox", name: "preset", value: name, checked: chosen.includes(name) }), title || name);
    const summary = make("summary");
    const boxes = make("fieldset", { class: "chips" }, make("legend", { class: "unseen" }, "Presets"), ...known.map(box));
    const show = () => {
      const names = known.filter(({ name }) => boxes.querySelector(`[value="${CSS.escape(name)}"]`).checked);
      summary.textContent = `Presets: ${names.map(({ title, name }) => title || name).join(", ") || "none"}`;
    };
    boxes.addEventListener("change", show);
    show();
    return make("details", { class: "more" }, summary, boxes);
  }

  #more(kept) {
    const recipe = this.#recipe;
    const fields = [];
    if (this.#takes("negative")) fields.push(this.#field("negative", "Negative prompt", make("textarea", { rows: 2 }), kept.negative ?? ""));
    if (recipe?.length) {
      const seconds = make("input", { type: "number", min: 0, step: "any", placeholder: standardSeconds(recipe.length) });
      fields.push(this.#field("seconds", "Seconds", seconds, kept.seconds ?? "", { type: "float" }));
    }
    for (const [name, spec] of Object.entries(recipe?.parameters ?? {})) {
      if (OWN.has(name)) continue;
      const label = `${named(name)}${spec.unit && spec.unit !== name ? ` (${spec.unit})` : ""}`;
      const given = { type: spec.type, inner: true, about: spec.about };
      fields.push(this.#field(name, label, input(spec), kept.parameters?.[name] ?? "", given));
    }
    return fields.length ? make("details", { class: "more" }, make("summary", {}, "More settings"), ...fields) : null;
  }
}

function input(spec) {
  const standard = spec.default ?? "";
  if (spec.type === "choice" || spec.type === "bool") {
    const options = spec.type === "bool" ? ["true", "false"] : spec.options ?? [];
    const none = make("option", { value: "" }, standard === "" ? "default" : `default: ${standard}`);
    return make("select", {}, none, ...options.map((name) => make("option", { value: name }, name)));
  }
  if (spec.type === "int" || spec.type === "float")
    return make("input", { type: "number", min: spec.min, max: spec.max, step: spec.step ?? (spec.type === "int" ? 1 : "any"), placeholder: standard });
  // Whatever other type there is: the service reads the text, and says what it may be.
  return make("input", { type: "text", placeholder: standard, autocomplete: "off" });
}

function read(input, type) {
  const text = input.value.trim();
  if (!text) return null;
  if (type === "bool") return text === "true";
  // A seed can be larger than what a number holds exactly; the service says what it may be.
  if (type === "int" || type === "float") return Number.isSafeInteger(Number(text)) || type === "float" ? Number(text) : text;
  return text;
}

function standardSeconds({ frames, fps }) {
  return frames && fps ? String(Math.round(((frames - 1) / fps) * 10) / 10) : null;
}
