// The last minutes of a value, one bar for each sample.

import { draw, make, setText } from "./element.js";

const SAMPLES = 90;
const HEIGHT = 32;

/** A small plot with its newest value. */
export class Plot {
  #values = [];

  constructor(label, unit) {
    this.label = label;
    this.unit = unit;
    this.path = draw("path", { class: "bar" });
    this.line = draw("path", { class: "mark" });
    this.picture = draw("svg", { viewBox: `0 0 ${SAMPLES} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, this.path, this.line);
    this.value = make("span", { class: "value" });
    this.node = make("div", { class: "plot" }, make("span", { class: "quiet" }, label), this.value, this.picture);
  }

  /** Adds a sample; `mark` is the value that it is held against, `top` the end of the scale. */
  add(value, { mark = null, top = 0, digits = 0 } = {}) {
    this.#values = [...this.#values, value ?? null].slice(-SAMPLES);
    const known = this.#values.filter((each) => each !== null);
    const highest = Math.max(top, mark ?? 0, ...known, 1) * 1.05;
    const y = (each) => (HEIGHT - (each / highest) * HEIGHT).toFixed(1);
    const first = SAMPLES - this.#values.length;
    const strokes = this.#values.map((each, at) => (each === null ? "" : `M${first + at + 0.5} ${HEIGHT}V${y(each)}`));
    this.path.setAttribute("d", strokes.join(""));
    this.line.setAttribute("d", mark === null ? "" : `M0 ${y(mark)}H${SAMPLES}`);
    const figure = (each) => each.toFixed(digits);
    const against = mark === null ? "" : ` of ${Math.round(mark)}`;
    setText(this.value, value === null || value === undefined ? "–" : `${figure(value)}${against} ${this.unit}`);
    const range = known.length ? `${figure(Math.min(...known))} to ${figure(Math.max(...known))} ${this.unit}` : "unknown";
    this.picture.setAttribute("aria-label", `${this.label} over the last minutes: ${range}`);
  }
}
