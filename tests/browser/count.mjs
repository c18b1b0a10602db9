// Opens the page in a real Chromium and waits until its counter has come to a number: count.mjs URL NUMBER
//
// Says `open` when the page is connected, then every new count; ends with 0 when the counter stands at exactly NUMBER.
import { chromium } from "playwright-core";

const [url, number] = process.argv.slice(2);
const expected = Number(number);
const LIMIT_MS = 300_000;

const browser = await chromium.launch({
  executablePath: process.env.TIDEGATE_CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  const page = await browser.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  await page.goto(url);
  const received = page.locator("output#received");
  await received.waitFor({ timeout: LIMIT_MS });
  const count = async () => Number((await received.textContent()).replace(/\D/g, ""));
  await page.waitForFunction(() => document.querySelector("#state").textContent.startsWith("open, "), undefined, { timeout: LIMIT_MS });
  console.log("open");
  let last = -1;
  const deadline = Date.now() + LIMIT_MS;
  while (last < expected && Date.now() < deadline) {
    await page.waitForFunction(
      (before) => Number(document.querySelector("output#received").textContent.replace(/\D/g, "")) > before,
      last,
      { timeout: LIMIT_MS },
    );
    last = await count();
    console.log(last);
  }
  if (last !== expected || problems.length > 0) {
    console.error(`the counter stands at ${last}, not at ${expected}; ${problems.join("; ")}`);
    process.exitCode = 1;
  }
} finally {
  await browser.close();
}
