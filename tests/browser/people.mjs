// Two users look at one room, each in a Chromium profile of their own: people.mjs URL TOKEN TOKEN
//
// Says `here` when each sees the other, `typing` when the first sees the second type, `silent` when that has ended, and `gone` when the first
// sees that the second has closed their tab.
import { chromium } from "playwright-core";

const [url, ...tokens] = process.argv.slice(2);
const LIMIT_MS = 60_000;

const browser = await chromium.launch({
  executablePath: process.env.TIDEGATE_CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const here = (page, names) =>
  page.waitForFunction(
    (expected) => [...document.querySelectorAll("#here li")].map((line) => line.textContent).join() === expected,
    names,
    { timeout: LIMIT_MS },
  );
const types = (page, words) =>
  page.waitForFunction((expected) => document.querySelector("#typing").textContent === expected, words, { timeout: LIMIT_MS });
const problems = [];
try {
  const tabs = [];
  for (const token of tokens) {
    const context = await browser.newContext();
    await context.addCookies([{ name: "session", value: token, url }]);
    const page = await context.newPage();
    page.on("pageerror", (error) => problems.push(String(error)));
    await page.goto(url);
    tabs.push({ context, page });
  }
  const [ada, ben] = tabs;
  await Promise.all([here(ada.page, "ada,ben"), here(ben.page, "ada,ben")]);
  console.log("here");
  await ben.page.locator("#say").pressSequentially("hello");
  await types(ada.page, "ben … typing");
  console.log("typing");
  await types(ada.page, "");
  console.log("silent");
  await ben.context.close();
  await here(ada.page, "ada");
  console.log("gone");
  if (problems.length > 0) throw new Error(problems.join("; "));
} finally {
  await browser.close();
}
