// Who is here and who types, in those of the page's channels that tell of it: how the edge says that it is, and then what events tell.

const STATUSES = ["online", "away", "busy", "offline"];
const SILENCE_MS = 3500; // the edge says the end after three seconds; whoever missed that sees it then
const SAID_EVERY_MS = 1000;

const place = (id) => document.getElementById(id);
const people = new Map();
const typing = new Map();
let rooms = new Set();
let saidAt = 0;

/** The page has these channels now. */
export async function begin(channels, presented) {
  rooms = new Set(channels.filter((channel) => !channel.endsWith(":*")));
  for (const channel of rooms) {
    const query = new URLSearchParams([["channel", channel], ...presented]);
    const answer = await fetch(`v1/presence?${query}`).catch(() => undefined);
    if (answer?.ok) for (const user of (await answer.json()).users) learn(user);
    else rooms.delete(channel);
  }
  place("people").hidden = rooms.size === 0;
  show();
}

/** Takes what an event tells, where it tells of people. */
export function take({ subject, data }) {
  if (!rooms.has(subject) || typeof data?.user_id !== "string") return;
  if (typeof data.active === "boolean") type(data);
  else if (STATUSES.includes(data.status)) learn(data);
  show();
}

function learn(user) {
  const known = people.get(user.user_id);
  // What the edge said when it was asked may be older than what events have told since.
  if (!known || !user.last_seen || known.last_seen <= user.last_seen) people.set(user.user_id, user);
}

function type({ user_id: user, active }) {
  clearTimeout(typing.get(user));
  typing.delete(user);
  if (active) typing.set(user, setTimeout(() => type({ user_id: user, active: false }), SILENCE_MS));
  show();
}

function show() {
  const here = [...people.values()].filter(({ status }) => status !== "offline");
  here.sort((one, other) => one.user_id.localeCompare(other.user_id));
  place("here").replaceChildren(...here.map(person));
  place("typing").textContent = typing.size > 0 ? `${[...typing.keys()].sort().join(", ")} … typing` : "";
}

function person({ user_id: user, status, custom }) {
  const line = document.createElement("li");
  line.dataset.status = status;
  line.textContent = [user, status === "online" ? "" : `(${status})`, custom ?? ""].filter(Boolean).join(" ");
  return line;
}

function say(active) {
  for (const channel of rooms) {
    const headers = { "content-type": "application/json" };
    fetch("v1/typing", { method: "POST", headers, body: JSON.stringify({ channel, active }) }).catch(() => undefined);
  }
}

place("say").addEventListener("input", () => {
  if (Date.now() - saidAt < SAID_EVERY_MS) return;
  saidAt = Date.now();
  say(true);
});
place("say").addEventListener("change", () => {
  saidAt = 0;
  say(false);
});
