// The checks before a job starts: of the form as it is filled in, and of dropped workflow files.

import { post } from "./api.js";
import { button, byId, make } from "./element.js";
import { count } from "./format.js";

const PAUSE = 400; // ms after the last change until the choice is checked
const SHOWN = 4; // findings that are shown without being asked for
const LOUD = { error: ["✕", "error"], warn: ["!", "warning"] };
const QUIET = { info: ["i", "note"], hint: ["i", "hint"] };

/** Follows a form and shows below it what the checks report. */
export class Preflight {
  #timer = 0;
  #asked = 0;
  #shown = "";

  /** `choice()` gives the body of the question, or null while there is nothing to ask about. */
  constructor(place, choice) {
    this.place = place;
    this.choice = choice;
  }

  /** Checks again, soon after the last change. */
  changed() {
    clearTimeout(this.#timer);
    this.#asked += 1; // whatever is on its way is of an earlier choice
    this.#timer = setTimeout(() => this.#read(this.#asked), PAUSE);
  }

  /** Shows nothing until the next change. */
  clear() {
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.#show({});
  }

  async #read(asked) {
    const choice = this.choice();
    const found = choice ? await read(choice) : {};
    if (asked === this.#asked) this.#show(found);
  }

  // Unchanged words are not touched, so that a screen reader does not repeat them.
  #show(found) {
    const text = JSON.stringify(found);
    if (text === this.#shown) return;
    this.#shown = text;
    this.place.replaceChildren(...report(found, "This job"));
  }
}

// A service that does not answer reports nothing here; the banner says so.
async function read(choice) {
  try {
    return await post("/lint", choice);
  } catch (problem) {
    return problem.status >= 400 && problem.status < 500 ? { refusal: reason(problem) } : {};
  }
}

function reason(problem) {
  return { sentence: problem.message, next_step: problem.nextStep };
}

/** Returns whether a file is a workflow, and no picture. */
export function isWorkflow(file) {
  return file.type === "application/json" || file.name.toLowerCase().endsWith(".json");
}

/** Checks a workflow file and shows the report; a second check replaces the first report. */
export async function checkWorkflow(file) {
  const found = await check(file);
  const wrong = found.trouble || found.findings.some(({ severity }) => severity in LOUD);
  const nothing = `No errors or warnings in ${file.name}: ${count(found.nodes, "node")} checked.`;
  const dismiss = button("Dismiss", () => {
    node.remove();
    byId("files").focus({ preventScroll: true });
  }, { class: "plain", "aria-label": `Dismiss the report on ${file.name}` });
  const node = make("li", { class: "upload", "data-name": file.name },
    make("h3", {}, file.name), wrong ? null : make("p", { class: "line" }, nothing),
    ...report(found, "This workflow"), make("div", { class: "acts" }, dismiss));
  const list = byId("checked");
  [...list.children].find((each) => each.dataset.name === file.name)?.remove();
  list.append(node);
}

async function check(file) {
  const unfit = (sentence) => ({ trouble: { sentence, next_step: "Save the workflow with Export (API) and drop that." } });
  let graph;
  try {
    graph = JSON.parse(await file.text());
  } catch {
    return unfit("The file is not JSON.");
  }
  if (typeof graph !== "object" || graph === null || Array.isArray(graph)) return unfit("The file contains no nodes.");
  try {
    return await post("/lint", { graph });
  } catch (problem) {
    return { trouble: reason(problem) };
  }
}

// Errors and warnings are shown; notes and hints are folded.
function report({ findings = [], notes = [], refusal = null, trouble = null }, subject) {
  const loud = Object.keys(LOUD).flatMap((each) => findings.filter(({ severity }) => severity === each));
  const quiet = findings.filter(({ severity }) => severity in QUIET);
  const errors = (refusal ? 1 : 0) + loud.filter(({ severity }) => severity === "error").length;
  const rows = [
    ...[refusal, trouble].filter(Boolean).map(({ sentence, next_step: fix }) => row({ severity: "error", found: sentence, fix })),
    ...loud.map(row),
    ...notes.map((found) => row({ severity: "info", found })),
  ];
  return [
    errors ? make("p", { class: "line" }, `${subject} cannot start: fix the ${errors === 1 ? "error" : "errors"} below.`) : null,
    list(rows.slice(0, SHOWN)),
    folded(`${rows.length - SHOWN} more`, list(rows.slice(SHOWN))),
    folded(`${count(quiet.length, "note")} on the workflow`, list(quiet.map(row))),
  ].filter(Boolean);
}

function list(rows) {
  return rows.length ? make("ul", { class: "findings" }, ...rows) : null;
}

function folded(title, content) {
  return content ? make("details", { class: "more" }, make("summary", {}, title), content) : null;
}

function row({ rule = "", about = "", severity, stage = "", title = "", node = "", engines = [], found, why = "", fix = "" }) {
  const [mark, word] = LOUD[severity] ?? QUIET[severity];
  const place = [stage, title || node, engines.length ? `on ${engines.join(", ")}` : ""].filter(Boolean).join(", ");
  return make("li", { class: "finding" },
    make("p", { class: "head" },
      make("span", { class: `state ${word}` }, make("span", { "aria-hidden": "true" }, `${mark} `), word), " ",
      make("strong", {}, `${rule} ${about}`.trim())),
    make("p", {}, place ? make("span", { class: "quiet" }, `${place}: `) : null, /[.!?]$/.test(found) ? found : `${found}.`),
    fix ? make("p", { class: "next" }, `What to do: ${fix}`) : null,
    folded("Why", why ? make("p", { class: "quiet" }, why) : null));
}
