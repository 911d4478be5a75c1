// Figures in words.

const PLACES = ["bytes", "KB", "MB", "GB", "TB"];

/** A duration, rounded: an hour needs no seconds. */
export function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** How many bytes. */
export function size(bytes) {
  const place = bytes < 1024 ? 0 : Math.min(PLACES.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** place;
  return `${place && value < 10 ? value.toFixed(1) : Math.round(value)} ${PLACES[place]}`;
}

/** A moment in local time: the time alone where it is of today. */
export function moment(unix, now = new Date()) {
  const when = new Date(unix * 1000);
  const today = when.toDateString() === now.toDateString();
  return when.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

/** A day in local time. */
export function day(unix) {
  return new Date(unix * 1000).toLocaleDateString([], { dateStyle: "medium" });
}

/** A count with its noun. */
export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** A share as percent. */
export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** A name as a label: underscores become spaces. */
export function label(name) {
  const text = String(name).replaceAll("_", " ").replaceAll("-", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A text without the line breaks of the file that it was written in; an empty line or a list keeps its own. */
export function unwrapped(text) {
  return text.trim().replace(/([^\n])\n(?![\n\s*-])/g, "$1 ");
}

/** A reason as text: what is wrong, and what to do next. */
export function because(reason) {
  return reason ? `${reason.sentence} ${reason.next_step ?? ""}`.trim() : "";
}
