// The jobs that the page knows, sorted by where they stand.

import { get } from "./api.js";

const PAGES = 5; // of one state that are asked for where all of them are wanted

/** Jobs in some states, newest first; more of them come from the service when asked for, or at once where all are wanted. */
export class Shelf extends EventTarget {
  #jobs = new Map();
  #next = null;
  #asked = 0;

  constructor(states, limit, { whole = false } = {}) {
    super();
    this.states = new Set(states);
    this.whole = whole;
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
    const { jobs, next } = this.whole ? await this.#all() : await this.#page([...this.states]);
    if (asked !== this.#asked) return; // another search was begun meanwhile
    const before = this.#jobs;
    this.#jobs = new Map();
    for (const job of jobs) this.#jobs.set(job.id, newer(before.get(job.id), job));
    this.#next = next;
    this.loaded = true;
    this.#say();
  }

  /** Asks for older ones. */
  async extend() {
    const { jobs, next } = await this.#page([...this.states], this.#next);
    for (const job of jobs) if (!this.#jobs.has(job.id)) this.#jobs.set(job.id, job);
    this.#next = next;
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

  // Each state for itself: what runs is found, however many wait.
  async #all() {
    const jobs = [];
    for (const state of this.states) {
      let next = null;
      for (let page = 0; page === 0 || (next && page < PAGES); page += 1) {
        const found = await this.#page([state], next);
        jobs.push(...found.jobs);
        next = found.next;
      }
    }
    return { jobs, next: null };
  }

  async #page(states, before = null) {
    const text = this.text ? `&q=${encodeURIComponent(this.text)}` : "";
    const from = before === null ? "" : `&before=${encodeURIComponent(before)}`;
    const { jobs, next = null } = await get(`/jobs?state=${states.join(",")}&limit=${this.limit}${text}${from}`);
    return { jobs, next };
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
