// Every shelf of jobs, and how news reaches the right one.

import { Shelf } from "./shelf.js";

const PAGE = 24;
const MANY = 200; // the most that the service gives at once

/** All jobs that the page knows. */
export class Library extends EventTarget {
  #updated = new Map(); // id → the newest word about a job

  constructor() {
    super();
    this.review = new Shelf(["review"], MANY, { whole: true });
    this.queue = new Shelf(["running", "queued", "waiting"], MANY, { whole: true });
    this.gallery = new Shelf(["done"], PAGE);
    this.ended = new Shelf(["failed", "rejected", "cancelled"], PAGE);
    this.shelves = [this.review, this.queue, this.gallery, this.ended];
  }

  /** Asks for everything anew. */
  async load() {
    this.#updated.clear();
    await Promise.all(this.shelves.map((shelf) => shelf.load()));
  }

  /** Takes a job in, wherever it stands now; an answer that was overtaken by an event is let go. */
  put(job) {
    if ((this.#updated.get(job.id) ?? 0) > job.updated) return;
    this.#updated.set(job.id, job.updated);
    const before = this.find(job.id)?.state;
    for (const shelf of this.shelves) shelf.put(job);
    if (before !== job.state) this.dispatchEvent(new CustomEvent("moved", { detail: { job, before } }));
  }

  /** Takes in how far a job is. */
  progress({ id, live }) {
    const job = this.queue.get(id);
    if (!job) return;
    job.live = live;
    this.dispatchEvent(new CustomEvent("progress", { detail: job }));
  }

  /** Finds a job on any shelf. */
  find(id) {
    return this.shelves.map((shelf) => shelf.get(id)).find(Boolean);
  }
}
