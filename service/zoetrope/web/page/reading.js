// What the linter says before a GPU is touched: of the choice as it stands, and of workflows that are dropped.

import { post } from "./api.js";
import { button, byId, make } from "./element.js";
import { count } from "./format.js";

const PAUSE = 400; // ms after the last change until the choice is read
const SHOWN = 4; // findings that are shown without being asked for
const LOUD = { error: ["✕", "error"], warn: ["!", "warning"] };
const QUIET = { info: ["i", "note"], hint: ["i", "hint"] };

/** Follows a choice and shows below it what its job would be told. */
export class Foresight {
  #timer = 0;
  #asked = 0;
  #shown = "";

  /** `choice()` gives the body of the question, or null while there is nothing to ask about. */
  constructor(place, choice) {
    this.place = place;
    this.choice = choice;
  }

  /** Has the choice read again, soon after its last change. */
  changed() {
    clearTimeout(this.#timer);
    this.#asked += 1; // whatever is on its way is of an earlier choice
    this.#timer = setTimeout(() => this.#read(this.#asked), PAUSE);
  }

  /** Says nothing until the next change. */
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

  // Unchanged words are not touched, so that nobody hears them twice.
  #show(found) {
    const text = JSON.stringify(found);
    if (text === this.#shown) return;
    this.#shown = text;
    this.place.replaceChildren(...report(found, "This job would be refused as it stands."));
  }
}

// A service that is away has nothing to say about the choice; that it is away is told elsewhere.
async function read(choice) {
  try {
    return await post("/lint", choice);
  } catch (problem) {
    return problem.status >= 400 && problem.status < 500 ? { refusal: words(problem) } : {};
  }
}

function words(problem) {
  return { sentence: problem.message, next_step: problem.nextStep };
}

/** Tells whether a file is a workflow, and no picture. */
export function isWorkflow(file) {
  return file.type === "application/json" || file.name.toLowerCase().endsWith(".json");
}

/** Reads a workflow and shows what is found in it; read again, it takes the place of its earlier self. */
export async function readWorkflow(file) {
  const found = await look(file);
  const wrong = found.trouble || found.findings.some(({ severity }) => severity in LOUD);
  const nothing = `Nothing wrong was found in ${file.name}: ${count(found.nodes, "node")} read.`;
  const away = button("Put away", () => {
    node.remove();
    byId("files").focus({ preventScroll: true });
  }, { class: "plain", "aria-label": `Put away what was found in ${file.name}` });
  const node = make("li", { class: "parcel", "data-name": file.name },
    make("h3", {}, file.name), wrong ? null : make("p", { class: "line" }, nothing),
    ...report(found, "A job with this graph would be refused."), make("div", { class: "acts" }, away));
  const list = byId("readings");
  [...list.children].find((each) => each.dataset.name === file.name)?.remove();
  list.append(node);
}

async function look(file) {
  const unfit = (sentence) => ({ trouble: { sentence, next_step: "Save the workflow with Export (API) and drop that." } });
  let graph;
  try {
    graph = JSON.parse(await file.text());
  } catch {
    return unfit("The file is not JSON.");
  }
  if (typeof graph !== "object" || graph === null || Array.isArray(graph)) return unfit("The file holds no nodes.");
  try {
    return await post("/lint", { graph });
  } catch (problem) {
    return { trouble: words(problem) };
  }
}

// Errors and warnings as receipts have them; what is a matter of taste is folded away.
function report({ findings = [], notes = [], refusal = null, trouble = null }, refused) {
  const loud = Object.keys(LOUD).flatMap((each) => findings.filter(({ severity }) => severity === each));
  const quiet = findings.filter(({ severity }) => severity in QUIET);
  const rows = [
    ...[refusal, trouble].filter(Boolean).map(({ sentence, next_step: fix }) => row({ severity: "error", found: sentence, fix })),
    ...loud.map(row),
    ...notes.map((found) => row({ severity: "info", found })),
  ];
  return [
    refusal || loud.some(({ severity }) => severity === "error") ? make("p", { class: "line" }, refused) : null,
    list(rows.slice(0, SHOWN)),
    folded(`${rows.length - SHOWN} more`, list(rows.slice(SHOWN))),
    folded(`${count(quiet.length, "note")} on the graph`, list(quiet.map(row))),
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
