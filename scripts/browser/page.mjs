// Looks at Throughline's web page with a real browser, signed in by the keyboard alone.
//
//   node page.mjs URL TOKEN SCREENSHOTS
//
// The server must hold the demo's feedback and tickets. Where a person elsewhere has to say
// something, it prints {"await": "feedback"} and waits for the page to change by itself.
// Prints {"figures": …} and exits 0; whatever is not as it should be is a line on stderr and
// exit 1. CHROMIUM names the browser, /usr/bin/chromium by default.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [base, token, shots] = process.argv.slice(2);
if (!shots) {
  console.error("usage: page.mjs URL TOKEN SCREENSHOTS");
  process.exit(2);
}
mkdirSync(shots, { recursive: true });
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

const faults = [];
const expect = (ok, what) => { if (!ok) faults.push(what); };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// tab opens a page that reports what goes wrong in it.
async function tab(options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (m) => { if (m.type() === "error") faults.push(`console: ${m.text()}`); });
  page.on("pageerror", (e) => faults.push(`script: ${e.message}`));
  page.on("request", (r) => { if (!r.url().startsWith(base + "/") && !r.url().startsWith("data:")) faults.push(`a request left the site: ${new URL(r.url()).host}`); });
  page.on("response", (r) => { if (r.status() >= 400) faults.push(`${r.status()} for ${new URL(r.url()).pathname}`); });
  return page;
}

// signIn types the token as a person without a mouse does.
async function signIn(page) {
  await page.goto(base + "/");
  expect(await page.evaluate(() => document.activeElement?.name) === "token", "sign-in: the token's field has not the focus");
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await page.waitForSelector("h1:text('Roadmap')");
}

// inspect runs the accessibility rules of WCAG 2.1 AA. The browser's debugger evaluates the
// library, so the page's own policy stays as strict as it is.
async function inspect(page, where) {
  await page.evaluate(readFileSync(axe, "utf8"));
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
  for (const v of violations) faults.push(`${where}: ${v.id}: ${v.help}: ${v.nodes[0].target.join(" ")}`);
}

// fits tells whether nothing is wider than the screen.
async function fits(page, where) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(over <= 0, `${where}: ${over} pixels wider than the screen`);
}

// tabTo presses Tab until an element that fits the selector has the focus.
async function tabTo(page, selector) {
  for (let i = 0; i < 120; i++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((s) => document.activeElement?.matches(s), selector)) return;
  }
  throw new Error(`the keyboard does not reach ${selector}`);
}

const ranked = (page) => page.locator(".ranking a.name").evaluateAll((all) => all.map((a) => a.getAttribute("href")));

// eventually follows a decision until it shows.
async function eventually(page, url, what, condition) {
  for (let i = 0; i < 60; i++) {
    await page.goto(url);
    if (await condition()) return;
    await page.waitForTimeout(250);
  }
  faults.push(`${what} does not show within 15 seconds`);
}

async function views(page) {
  const first = await page.locator(".ranking a.name").first().getAttribute("href");
  const item = async () => {
    await page.goto(base + "/feedback");
    return page.locator("a[href^='/feedback/']").first().getAttribute("href");
  };
  const all = {
    roadmap: ["/", ".ranking li"],
    filtered: ["/?kind=bug&since=90d", ".chips"],
    nothing: ["/?q=nobody+ever+said+this&kind=bug", "div.empty"],
    cluster: [first, "#quotes .said"],
    tickets: ["/tickets", "table.list tbody tr"],
    ticket: ["/tickets/jira/PLAY-101", "#brief .said"],
    compare: ["/tickets/jira/PLAY-101/compare?from=1", ".difference"],
    feedback: ["/feedback", "#list li, table.list tbody tr"],
    item: [await item(), "main"],
    digest: ["/digest", "h1"],
    inbox: ["/inbox", ".asks li"],
    decisions: ["/decisions", ".asks li"],
    connections: ["/connections", "table.list tbody tr"],
    quality: ["/quality", "table.list tbody tr"],
    operations: ["/operations", "table.list tbody tr"],
    audit: ["/audit", "table.list tbody tr"],
  };
  for (const [name, [path, holds]] of Object.entries(all)) {
    await page.goto(base + path);
    await page.waitForSelector(holds, { timeout: 10000 }).catch(() => faults.push(`${name}: nothing is shown at ${path}`));
    expect(await page.locator("h1").count() === 1, `${name}: not one heading`);
    await inspect(page, name);
    await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
  }
  return all;
}

// merge puts the second cluster into the first and takes that back.
async function merge(page) {
  await page.goto(base + "/");
  const links = await ranked(page);
  await page.goto(base + links[1]);
  await page.locator("summary", { hasText: "Merge" }).click();
  await page.selectOption("select[name=into]", links[0].split("/").pop());
  await page.locator("button", { hasText: /^Merge$/ }).click();
  await page.waitForSelector("[role=status] button");
  const undo = await page.locator("form.notice").getAttribute("action");
  await eventually(page, base + "/", "the merge", async () => !(await ranked(page)).includes(links[1]));
  await page.goto(base + links[0] + "?decided=" + undo.split("/")[2]);
  await page.locator("form.notice button").click();
  await eventually(page, base + "/", "the merge taken back", async () => (await ranked(page)).includes(links[1]));
}

// split takes two quotes out of the biggest cluster.
async function split(page) {
  await page.goto(base + "/");
  const before = await page.locator(".ranking li").count();
  await page.locator(".ranking a.name").first().click();
  await page.locator("#quotes input[type=checkbox]").nth(0).check();
  await page.locator("#quotes input[type=checkbox]").nth(1).check();
  await page.locator("button", { hasText: "Split" }).click();
  await page.waitForSelector("[role=status]");
  await eventually(page, base + "/", "the split", async () => await page.locator(".ranking li").count() > before);
}

// confirm takes the first suggestion of the inbox.
async function confirm(page) {
  await page.goto(base + "/inbox");
  const asked = page.locator(".asks li", { has: page.locator("button", { hasText: "Confirm" }) });
  const id = await asked.first().getAttribute("id");
  await asked.first().locator("button", { hasText: "Confirm" }).click();
  await page.waitForSelector("form.notice");
  await eventually(page, base + "/inbox", "the confirmation", async () => await page.locator(`[id="${id}"]`).count() === 0);
}

// live waits for the roadmap to change while a customer says something elsewhere, with the
// pointer on the list: there the news is offered and nothing moves.
async function live(page) {
  await page.goto(base + "/");
  await page.waitForSelector("#link.live");
  await page.mouse.move(5, 5);
  const before = await page.locator("#list").innerHTML();
  console.log(JSON.stringify({ await: "feedback" }));
  const began = Date.now();
  await page.waitForFunction((old) => document.getElementById("list").innerHTML !== old, before, { timeout: 30000 });
  const took = Date.now() - began;
  await page.locator(".ranking li").first().hover();
  const held = await page.locator("#list").innerHTML();
  console.log(JSON.stringify({ await: "feedback" }));
  await page.waitForSelector("#news:not([hidden])", { timeout: 30000 });
  expect(await page.locator("#list").innerHTML() === held, "live: the list changed under the pointer");
  await page.locator("#news").click();
  await page.waitForFunction((old) => document.getElementById("list").innerHTML !== old, held, { timeout: 10000 });
  return took;
}

// keyboard goes from the roadmap to a cluster, opens the arithmetic and comes back.
async function keyboard(page) {
  await page.goto(base + "/");
  await tabTo(page, ".skip");
  await page.keyboard.press("Enter");
  await tabTo(page, ".ranking summary");
  await page.keyboard.press("Enter");
  expect(await page.locator(".ranking details[open] table.sums").first().isVisible(), "keyboard: the arithmetic does not open");
  await page.waitForSelector(".ranking details[open] .change", { timeout: 10000 }).catch(() => faults.push("keyboard: what would change a rank is not told"));
  await page.goto(base + "/");
  await tabTo(page, ".ranking a.name");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#quotes");
}

try {
  const page = await tab();
  await page.goto(base + "/login");
  await inspect(page, "sign-in");
  await page.screenshot({ path: join(shots, "sign-in.png") });
  await signIn(page);
  const all = await views(page);
  await keyboard(page);
  await merge(page);
  await split(page);
  await confirm(page);
  const update = await live(page);
  await page.goto(base + "/");
  const paint = await (await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime)).jsonValue();
  const answered = await page.evaluate(() => performance.getEntriesByType("navigation")[0].responseEnd);

  const dark = await tab({ colorScheme: "dark" });
  await signIn(dark);
  const phone = await tab({ viewport: { width: 375, height: 812 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
  await signIn(phone);
  for (const [name, [path]] of Object.entries(all)) {
    await dark.goto(base + path);
    await inspect(dark, `${name}, dark`);
    await dark.screenshot({ path: join(shots, `${name}-dark.png`) });
    await phone.goto(base + path);
    await fits(phone, `${name}, phone`);
    await phone.screenshot({ path: join(shots, `${name}-phone.png`) });
  }
  console.log(JSON.stringify({ figures: { first_contentful_paint_ms: Math.round(paint), answered_ms: Math.round(answered), live_update_ms: update, views: Object.keys(all).length } }));
} catch (err) {
  faults.push(err.message);
} finally {
  await browser.close();
}
for (const f of [...new Set(faults)]) console.error(f);
process.exitCode = faults.length === 0 ? 0 : 1;
