// The page: one EventSource, the last events, and what the edge says about the stream. Everything is shown as text.

import * as people from "./people.js";

const ROWS = 50;
const NOTICES = 5;
const SHOWN_EVERY_MS = 100;
const AGAIN_AFTER_MS = 2000;
const ACKNOWLEDGED_EVERY_MS = 2000;
const SUMMARY_CHARACTERS = 240;

const LANES = ["high", "medium", "low"];
const GAPS = {
  expired: "events were older than the log keeps",
  recreated: "the log was made anew",
  future: "the position was beyond the end of the log",
  foreign: "the position was of another log, so the stream goes on by time",
  repartitioned: "the partitions have grown, and earlier ones are cut",
  source: "events were cut before they were routed",
};
const BYES = {
  drain: "the edge is stopping",
  expired: "the token has ended",
  limit: "there are too many streams",
  slow: "this page was too slow",
  not_ready: "the edge is not ready yet",
  revoked: "the right was taken back",
};

const place = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
asked.delete("named");
if (!asked.has("channel")) {
  asked.append("channel", "wiki:*");
  asked.append("channel", "machine:*");
  asked.append("channel", "room:lobby");
}

// This tab, over reloads: where it goes on is kept for it, and for no other tab, which may stand elsewhere.
const device = sessionStorage.getItem("tidegate.device") ?? newDevice();
if (!asked.has("resume")) asked.set("resume", device);

const counts = { received: 0, high: 0, medium: 0, low: 0 };
const events = [];
let lastEventId = "";
let source;
let shown = true;
let acknowledged = "";
let kept;

function connect() {
  const query = new URLSearchParams(asked);
  if (lastEventId) query.set("lastEventId", lastEventId);
  source = new EventSource(`v1/stream?${query}`);
  source.onopen = () => state("open", "open");
  source.onmessage = receive;
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return state("reconnecting", "reconnecting");
    state("closed", "closed, trying again");
    setTimeout(connect, AGAIN_AFTER_MS);
  };
  source.addEventListener("tidegate.ready", (event) => note(event, ready));
  source.addEventListener("tidegate.position", (event) => note(event, () => undefined));
  source.addEventListener("tidegate.gap", (event) => note(event, gap));
  source.addEventListener("tidegate.expiring", (event) => note(event, (data) => `The token ends at ${data.expires_at}.`));
  source.addEventListener("tidegate.bye", (event) => note(event, bye));
}

function receive(message) {
  lastEventId = message.lastEventId;
  const event = JSON.parse(message.data);
  counts.received += 1;
  if (event.lane in counts) counts[event.lane] += 1;
  people.take(event);
  events.unshift(event);
  events.length = Math.min(events.length, ROWS);
  show();
}

function newDevice() {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem("tidegate.device", id);
  return id;
}

/** What was received: the position, and whose. */
function receipt() {
  return JSON.stringify({ id: lastEventId, device: asked.get("resume"), channels: asked.getAll("channel") });
}

/** What the page's address presents. */
const presented = () => [...asked].filter(([name]) => name === "ticket" || name === "access_token");

function acksUrl() {
  return presented().length > 0 ? `v1/acks?${new URLSearchParams(presented())}` : "v1/acks";
}

const unacknowledged = () => kept && lastEventId !== "" && lastEventId !== acknowledged;

/** One at a time, and what is not taken is said again with the next. */
async function acknowledge() {
  if (unacknowledged()) {
    const id = lastEventId;
    const answer = await fetch(acksUrl(), { method: "POST", body: receipt() }).catch(() => undefined);
    if (answer?.ok) acknowledged = id;
  }
  setTimeout(acknowledge, ACKNOWLEDGED_EVERY_MS);
}

/** Takes a notice: its position, and its words where it has any for people. */
function note(message, words) {
  lastEventId = message.lastEventId;
  const text = words(JSON.parse(message.data));
  if (text) {
    const line = document.createElement("li");
    line.textContent = `${new Date().toLocaleTimeString()}  ${text}`;
    place("notices").prepend(line);
    while (place("notices").children.length > NOTICES) place("notices").lastChild.remove();
  }
  show();
}

function ready(data) {
  const first = kept === undefined;
  kept = data.resume !== undefined && data.resume !== "anonymous";
  if (first) acknowledge();
  people.begin(data.channels, presented());
  state("open", `open, ${data.channels.join(", ")}`);
  if (data.refused.length === 0) return undefined;
  return `Refused: ${data.refused.map(({ channel, reason }) => `${channel} (${reason})`).join(", ")}.`;
}

function gap(data) {
  const again = data.may_repeat ? "; some events may come twice" : "";
  return `Gap in lane ${data.lane}, partition ${data.partition}: ${GAPS[data.reason] ?? data.reason}${again}.`;
}

function bye(data) {
  return `The stream ended: ${BYES[data.reason] ?? data.reason}. It comes back in ${data.retry_ms / 1000} s.`;
}

function state(name, words) {
  place("state").dataset.state = name;
  place("state").textContent = words;
}

/** Shows what came, at most every so often, however fast it comes. */
function show() {
  if (!shown) return;
  shown = false;
  setTimeout(() => {
    shown = true;
    for (const [name, count] of Object.entries(counts)) place(name).value = count;
    place("position").textContent = lastEventId;
    place("position").title = lastEventId;
    place("empty").hidden = events.length > 0;
    place("events").replaceChildren(...events.map(row));
  }, SHOWN_EVERY_MS);
}

function row(event) {
  const line = document.createElement("tr");
  if (LANES.includes(event.lane)) line.dataset.lane = event.lane;
  for (const text of [clock(event.time), event.lane, event.subject, event.type, summary(event.data)]) {
    const cell = document.createElement("td");
    cell.textContent = text;
    cell.title = text;
    line.append(cell);
  }
  return line;
}

const clock = (time) => new Date(time).toISOString().slice(11, 23);

function summary(data) {
  const parts = data !== null && typeof data === "object" ? Object.entries(data) : [["", data]];
  const text = parts.map(([name, value]) => (name ? `${name}: ` : "") + (typeof value === "string" ? value : JSON.stringify(value)));
  return text.join(" · ").slice(0, SUMMARY_CHARACTERS);
}

place("channels").value = asked.getAll("channel").join(" ");
place("subscribe").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const query = new URLSearchParams();
  for (const channel of place("channels").value.split(/[\s,]+/).filter(Boolean)) query.append("channel", channel);
  location.search = query.toString();
});

addEventListener("pagehide", () => {
  if (unacknowledged()) navigator.sendBeacon(acksUrl(), receipt());
});

connect();
