// Measures what a person waits for on Throughline's web page, with a real browser.
//
//   node bench.mjs URL TOKEN CLUSTER
//
// Each figure is the median and the worst of ROUNDS rounds, in milliseconds. First contentful
// paint is the browser's own; an interaction lasts from the input to the frame after what it
// asked for is on the screen.
import { chromium } from "playwright-core";

const ROUNDS = 9;
const [base, token, cluster] = process.argv.slice(2);
if (!cluster) {
  console.error("usage: bench.mjs URL TOKEN CLUSTER");
  process.exit(2);
}
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
await page.goto(base + "/");
await page.fill("input[name=token]", token);
await page.keyboard.press("Enter");
await page.waitForSelector("h1:text('Roadmap')");

const figures = {};
const record = (name, ms) => (figures[name] ??= []).push(ms);
const paint = async () => (await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime)).jsonValue();
const frame = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

try {
  for (let i = 0; i < ROUNDS; i++) {
    await page.goto(base + "/");
    record("roadmap, first contentful paint", await paint());
    record("roadmap, answered", await page.evaluate(() => performance.getEntriesByType("navigation")[0].responseEnd));

    // Opening the arithmetic asks nobody: the browser itself says when the frame came.
    record("why a rank: click to frame", await page.evaluate(() => new Promise((done) => {
      const from = performance.now();
      document.querySelector(".ranking summary").click();
      requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - from)));
    })));

    let from = performance.now();
    await page.fill("input[name=q]", "report 13 stops");
    await page.keyboard.press("Enter");
    await page.waitForURL(/q=report/);
    await page.waitForSelector(".ranking li");
    await frame();
    record("search in customers' words: Enter to list", performance.now() - from);

    await page.goto(`${base}/clusters/${cluster}`);
    record("the largest cluster, first contentful paint", await paint());
    await page.goto(base + "/inbox");
    record("inbox, first contentful paint", await paint());
    await page.goto(base + "/feedback");
    record("feedback, first contentful paint", await paint());
  }
} finally {
  await browser.close();
}
for (const [name, all] of Object.entries(figures)) {
  all.sort((a, b) => a - b);
  console.log(`${name}: median ${Math.round(all[Math.floor(all.length / 2)])} ms, worst ${Math.round(all.at(-1))} ms`);
}
