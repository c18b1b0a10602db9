// Two tabs of one user in each of two Chromium profiles (two devices), which are reloaded while events come: reload.mjs URL TOKEN RELOADS
//
// Says `open` when all four are connected. For each line on stdin it reloads one tab after the other, and says `reloaded`. At the end of stdin it
// waits for the event `last`, and says, for each tab, a JSON line: {tab, pages: [{start, received: [{id, page}], acknowledged}]}.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [url, token] = process.argv.slice(2);
const LIMIT_MS = 120_000;

// Runs in the page before its own script: notes what its EventSource gives, and what it was told to be acknowledged.
function watch() {
  const seen = { start: undefined, received: [], acknowledged: "" };
  window.seen = seen;
  const Real = window.EventSource;
  window.EventSource = class extends Real {
    constructor(...args) {
      super(...args);
      this.addEventListener("tidegate.ready", (event) => { seen.start ??= JSON.parse(event.data).start; });
      this.addEventListener("message", (event) => {
        seen.received.push({ id: event.lastEventId, page: JSON.parse(event.data).data.page });
      });
    }
  };
  const fetched = window.fetch;
  window.fetch = async (...args) => {
    const answer = await fetched(...args);
    if (answer.status === 200) seen.acknowledged = JSON.parse(args[1].body).id;
    return answer;
  };
  addEventListener("pagehide", () => {
    const pages = JSON.parse(sessionStorage.getItem("seen.pages") ?? "[]");
    sessionStorage.setItem("seen.pages", JSON.stringify([...pages, seen]));
  });
}

const browser = await chromium.launch({
  executablePath: process.env.TIDEGATE_CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
// Connected, and the server has said that it keeps where the tab stands.
const connected = () => document.querySelector("#state").textContent.startsWith("open, ") && window.seen.acknowledged !== "";
const problems = [];
try {
  const tabs = [];
  for (const device of ["laptop", "telephone"]) {
    const context = await browser.newContext();
    await context.addCookies([{ name: "session", value: token, url }]);
    for (const tab of ["first", "second"]) {
      const page = await context.newPage();
      page.on("pageerror", (error) => problems.push(String(error)));
      await page.addInitScript(watch);
      await page.goto(url);
      await page.waitForFunction(connected, undefined, { timeout: LIMIT_MS });
      tabs.push({ name: `${device} ${tab}`, page });
    }
  }
  console.log("open");
  for await (const _ of createInterface({ input: process.stdin })) {
    for (const { page } of tabs) {
      await page.reload();
      await page.waitForFunction(connected, undefined, { timeout: LIMIT_MS });
    }
    console.log("reloaded");
  }
  for (const { name, page } of tabs) {
    await page.waitForFunction(() => window.seen.received.at(-1)?.page === "last", undefined, { timeout: LIMIT_MS });
    const pages = await page.evaluate(() => [...JSON.parse(sessionStorage.getItem("seen.pages") ?? "[]"), window.seen]);
    console.log(JSON.stringify({ tab: name, pages }));
  }
  if (problems.length > 0) {
    console.error(problems.join("; "));
    process.exitCode = 1;
  }
} finally {
  await browser.close();
}
