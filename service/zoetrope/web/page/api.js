// The service's API: every response is JSON, every error a sentence and a next step.

const BASE = "/api/v1";

/** What is wrong and what to do; status 0 stands for a service that does not answer. */
export class Problem extends Error {
  constructor(status, body = {}) {
    super(body.detail || (status ? "The service sent an unexpected response." : "The service does not answer."));
    this.status = status;
    this.key = body.key ?? "";
    this.nextStep = body.next_step ?? (status ? "Read the service's log: journalctl -u zoetrope -e" : "Try again in a moment.");
    this.job = body.job ?? ""; // the earlier job that a duplicate would repeat
  }

  /** Both sentences as one text. */
  get words() {
    return `${this.message} ${this.nextStep}`.trim();
  }
}

function reject(status, body) {
  // The token was changed or the cookie is a month old: only the login helps.
  if (status === 401) location.assign("/login");
  throw new Problem(status, body);
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Problem(0);
  }
  const body = await response.json().catch(() => ({}));
  return { response, body };
}

async function answered(path, options) {
  const { response, body } = await request(path, options);
  return response.ok ? body : reject(response.status, body);
}

/** Requests something; `signal` cancels it. */
export function get(path, options = {}) {
  return answered(BASE + path, options);
}

/** Asks for something that this service may not have; null where it does not. */
export async function find(path) {
  try {
    return await get(path);
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}

/** Sends a command. */
export function post(path, body) {
  const content = { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return answered(BASE + path, { method: "POST", ...(body === undefined ? {} : content) });
}

/** Asks for the checks; their verdicts come with a 503 as well. */
export async function checks() {
  const { response, body } = await request("/readyz");
  return body.checks ? body : reject(response.status, body);
}

/** Gives the address under which a browser saves a file instead of showing it. */
export function saving(url) {
  return `${url}${url.includes("?") ? "&" : "?"}download=1`;
}

/** Returns whether the service answers at all. */
export async function alive(patience = 5000) {
  try {
    return (await fetch("/healthz", { signal: AbortSignal.timeout(patience) })).ok;
  } catch {
    return false;
  }
}

/** Sends pictures; `sent` receives the share of bytes that is uploaded, which fetch does not report. */
export function upload(form, { parent = "", sent = () => {}, signal }) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", `${BASE}/jobs${parent ? `?parent=${encodeURIComponent(parent)}` : ""}`);
    call.responseType = "json";
    call.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) sent(event.loaded / event.total);
    });
    call.addEventListener("load", () => {
      if (call.status < 400) return resolve(call.response);
      if (call.status === 401) location.assign("/login");
      return reject(new Problem(call.status, call.response ?? {}));
    });
    call.addEventListener("error", () => reject(new Problem(0)));
    call.addEventListener("abort", () => reject(new Problem(0, { detail: "The upload was cancelled.", next_step: "" })));
    signal?.addEventListener("abort", () => call.abort());
    call.send(form);
  });
}
