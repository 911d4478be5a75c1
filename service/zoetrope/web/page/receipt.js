// The receipt of a finished job.

import { find, saving } from "./api.js";
import { make } from "./element.js";
import { label, percent, span } from "./format.js";

/** Makes the folded receipt of a finished job, which is requested when it is opened. */
export function details(job) {
  const body = make("div", { class: "receipt" });
  const node = make("details", {}, make("summary", {}, "Receipt"), body);
  node.addEventListener("toggle", async () => {
    if (!node.open || body.hasChildNodes()) return;
    try {
      const [receipt, files] = await Promise.all([
        find(`/jobs/${job.id}/receipt`), find(`/jobs/${job.id}/artefacts`)]);
      body.replaceChildren(...facts(job, receipt), ...downloads(files?.artefacts ?? []));
    } catch (problem) {
      body.replaceChildren(make("p", { class: "why" }, problem.words));
    }
  });
  return node;
}

function facts(job, receipt) {
  if (!receipt) return [make("p", { class: "quiet" }, `The receipt is in ${job.outbox}`)];
  const { plan, ticket, stages } = receipt;
  const prompt = ticket.prompt ?? plan.parameters?.prompt;
  const rows = [
    ["Prompt", prompt],
    ["Negative prompt", ticket.negative ?? plan.parameters?.negative],
    ["Recipe", [receipt.recipe, ...(ticket.preset ?? [])].join(", ")],
    ["Seed", String(plan.seed ?? job.seed)],
    ["Clip", plan.frames ? `${plan.width} × ${plan.height}, ${plan.kept || plan.frames} frames, ${plan.fps} fps` : ""],
    ...Object.entries(plan.parameters ?? {})
      .filter(([name]) => name !== "prompt" && name !== "negative")
      .map(([name, value]) => [label(name), String(value)]),
    ["Energy", energy(stages)],
    ["Notes", [...(receipt.notes ?? []), ...(job.warnings ?? [])].join(" ")],
  ];
  return [make("dl", {}, ...rows.filter(([, value]) => value).flatMap(pair)), times(stages)];
}

function pair([name, value]) {
  return [make("dt", {}, name), make("dd", {}, value)];
}

// Each stage with its duration: the longest one has a full bar.
function times(stages) {
  const longest = Math.max(...stages.map((stage) => stage.seconds), 0.001);
  const line = (stage) => {
    const tries = stage.attempts.length > 1 ? `, ${stage.attempts.length} attempts` : "";
    const fallbacks = stage.rungs?.length ? `, fallbacks: ${stage.rungs.join(", ")}` : "";
    const usage = stage.attempts.at(-1)?.gpu;
    const gpu = usage?.mean_watts ? `, ${Math.round(usage.mean_watts)} W on ${usage.name}` : "";
    return make("li", {},
      make("span", {}, stage.name),
      make("progress", { max: 1, value: stage.seconds / longest, "aria-label": `time of ${stage.name}`, "aria-valuetext": percent(stage.seconds / longest) }),
      make("span", { class: "quiet" }, `${span(stage.seconds)}${tries}${fallbacks}${gpu}`));
  };
  return make("ul", { class: "times", "aria-label": "Stages" }, ...stages.map(line));
}

function energy(stages) {
  const parts = stages.flatMap((stage) => stage.attempts.map((attempt) => attempt.gpu?.energy_wh))
    .filter((value) => typeof value === "number");
  return parts.length ? `${parts.reduce((sum, part) => sum + part, 0).toFixed(1)} Wh` : "";
}

function downloads(artefacts) {
  if (!artefacts.length) return [];
  const link = ({ name, url }) => make("li", {}, make("a", { href: saving(url), download: name }, name));
  return [make("ul", { class: "files", "aria-label": "Files" }, ...artefacts.map(link))];
}
