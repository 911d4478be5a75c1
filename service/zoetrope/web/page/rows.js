// A list that follows its jobs: each keeps its own element, so that a video plays on and the focus stays.

/** Shows jobs in a list; `open(job)` makes a row: its `node`, and `show(job)` that brings it up to date. */
export class Rows {
  #rows = new Map();

  constructor(list, open, fallback) {
    this.list = list;
    this.fallback = fallback; // gets the focus when the row with the focus is removed
    this.open = open;
  }

  /** Brings the list to these jobs, in this order. */
  show(jobs) {
    const wanted = new Set(jobs.map((job) => job.id));
    for (const [id, row] of this.#rows) {
      if (wanted.has(id)) continue;
      if (row.node.contains(document.activeElement)) this.fallback?.focus();
      row.node.remove();
      this.#rows.delete(id);
    }
    let place = this.list.firstElementChild;
    for (const job of jobs) {
      const row = this.#row(job);
      row.show(job);
      // Moved only when it has to be: a video that is moved stops.
      if (row.node === place) place = place.nextElementSibling;
      else this.list.insertBefore(row.node, place);
    }
  }

  /** Finds the row of a job that is shown. */
  get(id) {
    return this.#rows.get(id);
  }

  #row(job) {
    let row = this.#rows.get(job.id);
    if (!row) {
      row = this.open(job);
      this.#rows.set(job.id, row);
    }
    return row;
  }
}
