// The live page: asks for the jobs once, then follows the event stream. Every text from outside goes
// through textContent.

const byId = (id) => document.getElementById(id);
const jobs = new Map(); // id -> job as the API shows it
const cards = new Map(); // id -> its elements
let older = null; // cursor of the next page
let statusTimer = 0;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

async function ask(path, options) {
  const response = await fetch(path, options);
  const body = await response.json().catch(() => ({}));
  if (response.status === 401) location.assign("/login");
  return { ok: response.ok, body };
}

function problemText(body) {
  const text = [body.detail, body.next_step].filter(Boolean).join(" ");
  return text || "The service did not answer as expected.";
}

function notify(text) {
  byId("notice").hidden = !text;
  byId("notice").textContent = text;
}

function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

// ---- jobs

function makeCard(job) {
  const parts = {
    card: make("li", "job"), top: make("div", "top"), badge: make("span", "badge"),
    name: make("span", "name"), about: make("span", "quiet"), bar: make("progress"),
    live: make("p", "quiet"), why: make("p", "why"), place: make("p", "quiet"), acts: make("div", "acts"),
  };
  parts.bar.max = 1;
  parts.bar.setAttribute("aria-label", `progress of ${job.name}`);
  parts.top.append(parts.badge, parts.name, parts.about);
  parts.card.append(parts.top, parts.bar, parts.live, parts.why, parts.place, parts.acts);
  return parts;
}

function stageLine(job) {
  const done = job.stages.filter((stage) => stage.state === "done").length;
  const current = job.stages.find((stage) => stage.state !== "done");
  if (!current) return "";
  const attempt = current.attempts.length > 1 ? `, attempt ${current.attempts.length}` : "";
  const count = job.stages.length > 1 ? ` (${done + 1} of ${job.stages.length})` : "";
  return `${current.name}${count}${attempt}`;
}

function showProgress(job) {
  const parts = cards.get(job.id);
  const live = job.live;
  const running = job.state === "running" || job.state === "queued";
  parts.bar.hidden = !(live && running);
  if (live && running) {
    parts.bar.value = live.fraction;
    const step = live.maximum > 1 ? `, step ${live.value} of ${live.maximum}` : "";
    const left = live.eta === null ? "" : `, about ${span(live.eta)} left`;
    parts.live.textContent = `${stageLine(job)}: ${Math.round(live.fraction * 100)} %${step}${left}`;
  } else if (running && job.stages.length) {
    parts.live.textContent = `next: ${stageLine(job) || "publishing"}`;
  } else if (job.state === "waiting") {
    parts.live.textContent = `the ${job.half} picture is here; the other half is missing`;
  } else {
    parts.live.textContent = "";
  }
  parts.live.hidden = !parts.live.textContent;
}

function showJob(job) {
  const parts = cards.get(job.id);
  parts.badge.textContent = job.state;
  parts.badge.className = `badge ${job.state}`;
  parts.name.textContent = job.name;
  const when = new Date(job.created * 1000);
  parts.about.textContent = `${job.short} · ${job.recipe} · ${when.toLocaleString([], { dateStyle: "short", timeStyle: "short" })}`;
  parts.why.hidden = !job.reason;
  parts.why.className = ["failed", "rejected"].includes(job.state) ? "why bad" : "why";
  parts.why.textContent = job.reason ? `${job.reason.sentence} ${job.reason.next_step}`.trim() : "";
  parts.place.hidden = !job.outbox;
  parts.place.textContent = job.state === "review" ? `Please look at ${job.outbox}` : job.outbox;
  parts.acts.replaceChildren(...job.actions.map((action) => actionButton(job, action)));
  parts.acts.hidden = !job.actions.length;
  showProgress(job);
}

function actionButton(job, action) {
  const button = make("button", action, action[0].toUpperCase() + action.slice(1));
  button.type = "button";
  button.setAttribute("aria-label", `${action} ${job.name}`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    notify("");
    try {
      const { ok, body } = await ask(`/api/v1/jobs/${job.id}/${action}`, { method: "POST" });
      if (ok) putJob(body);
      else notify(problemText(body));
    } catch {
      notify("The service does not answer; try again in a moment.");
    }
    button.disabled = false;
  });
  return button;
}

function putJob(job, atEnd = false) {
  const known = jobs.get(job.id);
  if (known && known.updated > job.updated) return; // an answer that was overtaken by an event
  if (known && !job.live && job.state === "running") job.live = known.live;
  jobs.set(job.id, job);
  if (!cards.has(job.id)) {
    const parts = makeCard(job);
    cards.set(job.id, parts);
    if (atEnd) byId("jobs").append(parts.card);
    else byId("jobs").prepend(parts.card);
  }
  showJob(job);
  byId("empty").hidden = jobs.size > 0;
}

async function loadJobs() {
  const { ok, body } = await ask("/api/v1/jobs?limit=50");
  if (!ok) return notify(problemText(body));
  notify("");
  jobs.clear();
  cards.clear();
  byId("jobs").replaceChildren();
  body.jobs.forEach((job) => putJob(job, true));
  setOlder(body.next);
  byId("empty").hidden = jobs.size > 0;
}

function setOlder(cursor) {
  older = cursor;
  byId("older").hidden = !cursor;
}

byId("older").addEventListener("click", async () => {
  const { ok, body } = await ask(`/api/v1/jobs?limit=50&before=${older}`);
  if (!ok) return notify(problemText(body));
  body.jobs.forEach((job) => putJob(job, true));
  setOlder(body.next);
});

// ---- head

async function loadStatus() {
  const { ok, body } = await ask("/api/v1/status");
  byId("summary").classList.remove("lost");
  byId("summary").textContent = ok ? body.summary : problemText(body);
}

function soonStatus() {
  if (!statusTimer) statusTimer = setTimeout(() => { statusTimer = 0; loadStatus().catch(lost); }, 500);
}

function showHealth(report) {
  byId("level").textContent = report.level;
  byId("level").className = `badge ${report.level}`;
  const bad = report.checks.filter((check) => check.level !== "ok");
  byId("verdict").textContent = bad.length
    ? bad.map((check) => `${check.name}: ${check.found}`).join(" ")
    : "Every check is content.";
  byId("checks").replaceChildren(...report.checks.map((check) => {
    const item = make("li");
    item.append(make("span", `badge ${check.level}`, check.level), " ", make("strong", "", check.name), ` ${check.found}`);
    if (check.next_step) item.append(make("span", "next", `What to do: ${check.next_step}`));
    return item;
  }));
}

async function loadHealth() {
  const { body } = await ask("/readyz"); // 503 carries the verdicts too
  if (body.checks) showHealth(body);
}

function lost() {
  byId("summary").classList.add("lost");
  byId("summary").textContent = "The service does not answer; trying again…";
}

// ---- events

async function loadAll() {
  await Promise.all([loadJobs(), loadStatus(), loadHealth()]);
}

function listen() {
  const source = new EventSource("/api/v1/events");
  source.addEventListener("hello", (event) => {
    // Without `resumed`, events may have been missed: everything is asked for again.
    if (!JSON.parse(event.data).resumed) loadAll().catch(lost);
    else soonStatus();
  });
  source.addEventListener("job", (event) => {
    putJob(JSON.parse(event.data));
    soonStatus();
  });
  source.addEventListener("progress", (event) => {
    const { id, live } = JSON.parse(event.data);
    const job = jobs.get(id);
    if (!job) return;
    job.live = live;
    showProgress(job);
  });
  source.addEventListener("health", (event) => showHealth(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    lost();
    // The browser tries again by itself, except after an answer that was an error.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

// ---- upload

async function send(files) {
  const troubles = [];
  for (const file of files) {
    const form = new FormData();
    form.append("image", file, file.name);
    const prompt = byId("prompt").value.trim();
    if (prompt) form.append("ticket", JSON.stringify({ prompt }));
    notify(`Sending ${file.name}…`);
    try {
      const { ok, body } = await ask("/api/v1/jobs", { method: "POST", body: form });
      if (ok) putJob(body);
      else troubles.push(`${file.name}: ${problemText(body)}`);
    } catch {
      troubles.push(`${file.name}: the service does not answer.`);
    }
  }
  notify(troubles.join("\n"));
}

byId("files").addEventListener("change", (event) => {
  send([...event.target.files]).finally(() => { event.target.value = ""; });
});
byId("upload").addEventListener("submit", (event) => event.preventDefault());
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // a picture dropped beside the zone must not replace the page
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) send([...event.dataTransfer.files]);
  });
}

listen();
