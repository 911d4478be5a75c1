// Jobs in some states, as the service lists them.

import { get } from "./api.js";

const PAGES = 5; // of one state that are requested where all of its jobs are wanted

/** Jobs in some states, newest first; older ones come on request, or at once where the whole list is wanted. */
export class JobList extends EventTarget {
  #jobs = new Map();
  #next = null;
  #loading = null; // aborts the request that is under way
  #arrived = new Map(); // jobs that an event brought while a request was under way
  #asked = new Map(); // id → the newest state of a job whose match is being asked for

  constructor(states, limit, { whole = false } = {}) {
    super();
    this.states = new Set(states);
    this.whole = whole;
    this.text = ""; // what the service searches for
    this.loaded = null; // the text that these jobs answer
    this.limit = limit;
  }

  /** The jobs themselves. */
  get jobs() {
    return [...this.#jobs.values()].sort((one, other) => other.created - one.created);
  }

  /** Whether the service has older ones. */
  get more() {
    return this.#next !== null;
  }

  /** Whether a request for the newest ones is under way. */
  get busy() {
    return this.#loading !== null;
  }

  /** Finds a job. */
  get(id) {
    return this.#jobs.get(id);
  }

  /** Requests the newest ones; a request that is still under way is cancelled. */
  async load() {
    this.#loading?.abort();
    const loading = new AbortController();
    const { signal } = loading;
    this.#loading = loading;
    this.#arrived.clear();
    this.#asked.clear();
    const text = this.text;
    this.#changed();
    try {
      const { jobs, next } = await (this.whole ? this.#all(signal) : this.#page([...this.states], { text, signal }));
      if (signal.aborted) return;
      const before = this.#jobs;
      this.#jobs = new Map();
      for (const job of jobs) this.#jobs.set(job.id, newer(before.get(job.id), job));
      this.#next = next;
      this.loaded = text;
      this.#loading = null;
      // The response may be older than these.
      for (const job of this.#arrived.values()) this.put(job);
    } catch (problem) {
      if (signal.aborted) return;
      this.#loading = null;
      throw problem;
    } finally {
      if (!signal.aborted) this.#changed();
    }
  }

  /** Requests older ones. */
  async extend() {
    const [text, before] = [this.loaded, this.#next];
    const { jobs, next } = await this.#page([...this.states], { text, before });
    if (this.busy || text !== this.loaded || before !== this.#next) return; // another list was loaded meanwhile
    for (const job of jobs) if (!this.#jobs.has(job.id)) this.#jobs.set(job.id, job);
    this.#next = next;
    this.#changed();
  }

  /** Adds a job, or removes it when it is in another state now; during a search the service says whether it matches. */
  put(job) {
    if (this.busy) this.#arrived.set(job.id, job);
    const known = this.#jobs.get(job.id);
    if (known && newer(known, job) === known && known !== job) return;
    if (!this.states.has(job.state)) this.#remove(job.id);
    else if (!this.text) this.#keep(job);
    else if (!this.busy) this.#match(job);
  }

  // Its own words and its id together find one job, if it matches.
  async #match(job) {
    const { text } = this;
    this.#asked.set(job.id, job);
    const found = await this.#page([...this.states], { text: `${text} ${job.id}` }).catch(() => null); // a lost service is loaded anew
    if (text !== this.text || this.#asked.get(job.id) !== job) return; // overtaken
    this.#asked.delete(job.id);
    if (found?.jobs.some(({ id }) => id === job.id)) this.#keep(job);
    else this.#remove(job.id);
  }

  #keep(job) {
    this.#jobs.set(job.id, carry(this.#jobs.get(job.id), job));
    this.#changed();
  }

  #remove(id) {
    this.#asked.delete(id);
    if (this.#jobs.delete(id)) this.#changed();
  }

  // Each state by itself, so that the running ones are found however many wait.
  async #all(signal) {
    const jobs = [];
    for (const state of this.states) {
      let next = null;
      for (let page = 0; page === 0 || (next && page < PAGES); page += 1) {
        const found = await this.#page([state], { before: next, signal });
        jobs.push(...found.jobs);
        next = found.next;
      }
    }
    return { jobs, next: null };
  }

  async #page(states, { text = "", before = null, signal = null }) {
    const query = new URLSearchParams({ state: states.join(","), limit: this.limit });
    if (text) query.set("q", text);
    if (before !== null) query.set("before", before);
    const { jobs, next = null } = await get(`/jobs?${query}`, { signal });
    return { jobs, next };
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

// A response may be older than an event.
function newer(known, job) {
  return known && known.updated > job.updated ? known : carry(known, job);
}

// Only the event stream and the listing report progress; the response to a decision does not.
function carry(known, job) {
  return known && !job.live && !job.reason && job.state === "running" ? { ...job, live: known.live } : job;
}
