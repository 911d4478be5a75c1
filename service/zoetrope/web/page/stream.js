// The event stream, and whether the service answers at all.

import { alive } from "./api.js";

const KINDS = ["job", "progress", "health"];
const RETRY = 2000; // ms until a rejected stream is requested again
const SILENCE = 25000; // ms without an event after which the page checks whether the service answers

/** Follows what happens; dispatches `live` (detail: whether nothing was missed), `lost`, and an event for each kind. */
export class Stream extends EventTarget {
  #source = null;
  #lastEvent = 0;
  #lost = false;

  /** Opens the stream and keeps it open. */
  open() {
    this.#connect();
    setInterval(() => this.#verify(), SILENCE / 5);
    addEventListener("offline", () => this.#lose());
    addEventListener("online", () => this.#connect());
    document.addEventListener("visibilitychange", () => document.hidden || this.#verify());
  }

  #connect() {
    this.#source?.close();
    const source = new EventSource("/api/v1/events");
    this.#source = source;
    source.addEventListener("hello", (event) => {
      this.#lastEvent = Date.now();
      this.#lost = false;
      this.#say("live", JSON.parse(event.data).resumed);
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        this.#lastEvent = Date.now();
        this.#say(kind, JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      this.#lose();
      // The browser tries again by itself, except after an answer that was an error.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => source === this.#source && this.#connect(), RETRY);
    });
  }

  #lose() {
    if (this.#lost) return;
    this.#lost = true;
    this.#say("lost");
  }

  // A connection that was cut silently looks the same as a service without events.
  async #verify() {
    if (document.hidden || this.#lost || Date.now() - this.#lastEvent < SILENCE) return;
    if (await alive()) this.#lastEvent = Date.now();
    else {
      this.#lose();
      this.#connect();
    }
  }

  #say(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}
