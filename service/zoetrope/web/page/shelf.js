// The jobs that the page knows, sorted by where they stand.

import { get } from "./api.js";

/** Jobs in some states, newest first; more of them come from the service when asked for. */
export class Shelf extends EventTarget {
  #jobs = new Map();
  #next = null;
  #asked = 0;

  constructor(states, limit) {
    super();
    this.states = new Set(states);
    this.text = ""; // what their names or prompts have to hold
    this.loaded = false;
    this.limit = limit;
  }

  /** The jobs themselves. */
  get jobs() {
    return [...this.#jobs.values()].sort((one, other) => other.created - one.created);
  }

  /** Whether there are older ones than those that are known. */
  get more() {
    return this.#next !== null;
  }

  /** Finds a job. */
  get(id) {
    return this.#jobs.get(id);
  }

  /** Asks for the newest ones anew. */
  async load() {
    const asked = (this.#asked += 1);
    const page = await get(this.#query());
    if (asked !== this.#asked) return; // another search was begun meanwhile
    const before = this.#jobs;
    this.#jobs = new Map();
    for (const job of page.jobs) this.#jobs.set(job.id, newer(before.get(job.id), job));
    this.#next = page.next ?? null;
    this.loaded = true;
    this.#say();
  }

  /** Asks for older ones. */
  async extend() {
    const page = await get(`${this.#query()}&before=${encodeURIComponent(this.#next)}`);
    for (const job of page.jobs) if (!this.#jobs.has(job.id)) this.#jobs.set(job.id, job);
    this.#next = page.next ?? null;
    this.#say();
  }

  /** Takes a job in, or lets it go when it stands elsewhere now. */
  put(job) {
    const known = this.#jobs.get(job.id);
    if (known && newer(known, job) === known && known !== job) return;
    if (this.states.has(job.state) && this.#wanted(job)) this.#jobs.set(job.id, carry(known, job));
    else if (!this.#jobs.delete(job.id)) return;
    this.#say();
  }

  #query() {
    const text = this.text ? `&q=${encodeURIComponent(this.text)}` : "";
    return `/jobs?state=${[...this.states].join(",")}&limit=${this.limit}${text}`;
  }

  #wanted(job) {
    const text = this.text.toLowerCase();
    return [job.name, job.ticket?.prompt ?? "", job.id].some((field) => field.toLowerCase().includes(text));
  }

  #say() {
    this.dispatchEvent(new Event("change"));
  }
}

// An answer may have been overtaken by an event.
function newer(known, job) {
  return known && known.updated > job.updated ? known : carry(known, job);
}

// Only the stream and the listing know how far a job is; an answer to an order does not.
function carry(known, job) {
  return known && !job.live && job.state === "running" ? { ...job, live: known.live } : job;
}
