// What is kept for a time, what is removed next, and what was removed.

import { byId, setText } from "./element.js";
import { count, day, size } from "./format.js";

const NOUNS = { work: "ended job", rejected: "rejected picture", outbox: "finished video" };

/** Shows what the service keeps for a time, where something of it will be removed; `name` finds a job's name by its id. */
export function showKept(keep, name) {
  const { kept = [], next } = keep ?? {};
  const sums = kept.map((each) => `${count(each.count, NOUNS[each.kind])}, ${size(each.bytes)}`);
  setText(byId("kept"), next ? `Kept for a time: ${sums.join("; ")}. Removed next: ${subject(next, name)}, on ${day(next.at)}.` : "");
}

function subject(next, name) {
  // Rejected pictures are known by the names of their reasons.
  if (next.kind !== "work") return next.name.replace(/( \(\d+\))?\.why\.txt$/, "");
  return `the work of ${name(next.name) ?? `job ${next.name.slice(0, 8)}`}`;
}

/** Says when a job's files were removed. */
export function removal(job) {
  return job.removed ? `Work removed on ${day(job.removed)}: drop the picture again.` : "";
}
