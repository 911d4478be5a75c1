// All lists of jobs; each event goes to the right one.

import { JobList } from "./job_list.js";

const PAGE = 24;
const MANY = 200; // the most that the service gives at once

/** All jobs that the page knows. */
export class Library extends EventTarget {
  #updated = new Map(); // id → when it was updated last

  constructor() {
    super();
    this.review = new JobList(["review"], MANY, { whole: true });
    this.queue = new JobList(["running", "queued", "waiting"], MANY, { whole: true });
    this.gallery = new JobList(["done"], PAGE);
    this.ended = new JobList(["failed", "rejected", "cancelled"], PAGE);
    this.lists = [this.review, this.queue, this.gallery, this.ended];
  }

  /** Loads all lists again. */
  async load() {
    this.#updated.clear();
    await Promise.all(this.lists.map((list) => list.load()));
  }

  /** Puts a job into the list of its state; a response older than an event is ignored. */
  put(job) {
    if ((this.#updated.get(job.id) ?? 0) > job.updated) return;
    this.#updated.set(job.id, job.updated);
    const before = this.find(job.id)?.state;
    for (const list of this.lists) list.put(job);
    if (before !== job.state) this.dispatchEvent(new CustomEvent("moved", { detail: { job, before } }));
  }

  /** Sets a job's progress. */
  progress({ id, live }) {
    const job = this.queue.get(id);
    if (!job) return;
    job.live = live;
    this.dispatchEvent(new CustomEvent("progress", { detail: job }));
  }

  /** Finds a job on any list. */
  find(id) {
    return this.lists.map((list) => list.get(id)).find(Boolean);
  }
}
