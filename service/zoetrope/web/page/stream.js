// The event stream, and whether the service is there at all.

import { alive } from "./api.js";

const KINDS = ["job", "progress", "health"];
const RETRY = 2000; // ms until a stream that was refused is asked for again
const SILENCE = 25000; // ms without an event after which the service is asked whether it lives

/** Follows what happens; dispatches `live` (detail: whether nothing was missed), `lost`, and an event for each kind. */
export class Stream extends EventTarget {
  #source = null;
  #heard = 0;
  #lost = false;

  /** Begins to listen, and never stops. */
  open() {
    this.#connect();
    setInterval(() => this.#doubt(), SILENCE / 5);
    addEventListener("offline", () => this.#lose());
    addEventListener("online", () => this.#connect());
    document.addEventListener("visibilitychange", () => document.hidden || this.#doubt());
  }

  #connect() {
    this.#source?.close();
    const source = new EventSource("/api/v1/events");
    this.#source = source;
    source.addEventListener("hello", (event) => {
      this.#heard = Date.now();
      this.#lost = false;
      this.#say("live", JSON.parse(event.data).resumed);
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        this.#heard = Date.now();
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

  // A line that was cut without a word looks silent, and so does a service with nothing to tell.
  async #doubt() {
    if (document.hidden || this.#lost || Date.now() - this.#heard < SILENCE) return;
    if (await alive()) this.#heard = Date.now();
    else {
      this.#lose();
      this.#connect();
    }
  }

  #say(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}
