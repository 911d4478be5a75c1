// The GPUs: their readings, next to the limits of their profile, and the choice of profile.

import { find, post } from "./api.js";
import { byId, button, make, setText } from "./element.js";
import { because } from "./format.js";
import { attempt, announce } from "./notice.js";
import { Plot } from "./plot.js";

const PERIOD = 2000; // ms between two samples
const GIB = 1024 ** 3;
const SETTINGS = "\u0000settings"; // no profile can be called that
const STOCK = "\u0000stock";
// What the API calls the standing of a profile, and what people read.
const STANDING = { untried: "untried", "on probation": "unproven", trusted: "proven", barred: "disabled" };

// Known from the event stream: a service that does not answer is not asked.
const offline = () => document.body.dataset.lost !== undefined;

/** The list of GPUs; hidden where the service knows of none. */
export class Gpu {
  #gpus = new Map();
  #absent = false;

  /** Polls while the page is visible. */
  async watch() {
    while (!this.#absent) {
      if (!document.hidden && !offline()) await this.#poll();
      await new Promise((resolve) => setTimeout(resolve, PERIOD));
    }
  }

  async #poll() {
    let found;
    try {
      found = await find("/gpu");
    } catch {
      return; // the banner says that the service does not answer
    }
    this.#absent = found === null;
    const cards = found?.cards ?? [];
    byId("gpu").hidden = !cards.length;
    setText(byId("gpu-problem"), because(found?.problem));
    const wanted = new Set(cards.map(({ card }) => card.uuid));
    for (const [uuid, view] of this.#gpus) if (!wanted.has(uuid)) (view.node.remove(), this.#gpus.delete(uuid));
    for (const each of cards) this.#gpu(each.card).show(each);
  }

  #gpu(card) {
    let view = this.#gpus.get(card.uuid);
    if (!view) {
      view = new GpuView(card);
      this.#gpus.set(card.uuid, view);
      byId("gpu-rows").append(view.node);
    }
    return view;
  }
}

class GpuView {
  #known = "";

  constructor(card) {
    this.card = card;
    this.clock = new Plot("Clock", "MHz");
    this.power = new Plot("Power", "W");
    this.heat = new Plot("Temperature", "°C");
    this.memory = new Plot("Memory", "GB");
    this.state = make("p", { class: "line" });
    this.slowed = make("p", { class: "quiet" });
    this.why = make("p", { class: "why" });
    this.choice = make("select", { "aria-label": `Profile of ${card.name}` });
    this.switch = make("div", { class: "acts" }, this.choice,
      button("Apply", () => this.#apply(), { class: "plain", "aria-label": `Apply the profile to ${card.name}` }));
    this.node = make("li", { class: "gpu" }, make("h3", {}, card.name),
      make("div", { class: "plots" }, this.clock.node, this.power.node, this.heat.node, this.memory.node),
      this.state, this.slowed, this.why, this.switch);
  }

  show({ card, reading, lost, state }) {
    this.card = card;
    const high = state?.highest_mhz ?? null;
    this.clock.add(reading?.core_mhz, { mark: high });
    this.power.add(reading?.power_watts, { mark: reading?.limit_watts ?? null });
    this.heat.add(reading?.celsius, { top: 90 });
    const gib = (bytes) => (typeof bytes === "number" ? bytes / GIB : null);
    this.memory.add(gib(reading?.vram_used), { mark: gib(reading?.vram_total), digits: 1 });
    setText(this.state, profileText(state));
    const reasons = (reading?.reasons ?? []).filter((reason) => reason !== "idle");
    setText(this.slowed, reasons.length ? `Clocks limited by: ${reasons.join(", ")}.` : "");
    setText(this.why, because(lost) || because(state?.problem));
    this.#offer(state);
  }

  #offer(state) {
    const profiles = state?.profiles ?? [];
    this.switch.hidden = !profiles.length;
    const held = state?.held ?? null;
    const known = JSON.stringify([profiles.map(({ name, record }) => [name, record?.trust]), held]);
    // An open list must not change while a user chooses.
    if (known === this.#known || document.activeElement === this.choice) return;
    this.#known = known;
    const option = (value, text) => make("option", { value }, text);
    this.choice.replaceChildren(
      option(SETTINGS, "from the settings"), option(STOCK, "stock"),
      ...profiles.map(({ name, steps, record }) => option(name, [name, STANDING[record?.trust], ...(steps ?? [])].filter(Boolean).join(", "))));
    this.choice.value = held === null ? SETTINGS : held || STOCK;
  }

  async #apply() {
    const wanted = this.choice.value;
    const path = `/gpu/${encodeURIComponent(this.card.uuid)}`;
    const order = wanted === STOCK ? post(`${path}/reset`) : post(`${path}/apply`, { profile: wanted === SETTINGS ? null : wanted });
    const done = await attempt(async () => (await order) ?? true);
    if (done) announce(`${this.card.name}: the profile was changed.`);
  }
}

function profileText(state) {
  if (!state) return "";
  const profile = state.profiles?.find(({ name }) => name === state.in_force);
  const proven = STANDING[profile?.record?.trust];
  const name = state.in_force ? `Profile ${state.in_force}` : "Stock clocks";
  const role = { working: "while working", idle: "while idle", held: "set by a user" }[state.role] ?? "";
  return `${[name, role, proven].filter(Boolean).join(", ")}.`;
}
