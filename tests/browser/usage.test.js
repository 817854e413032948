/** The Usage view, on transcripts written as Claude Code writes them. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";

import { Claude } from "./claude.js";
import { WIDTHS, claudeDir, serve, tab, unproblematic, until, visit } from "./harness.js";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const API = "**/api/claude/usage?*";
const DAY_MS = 86_400_000;
const ALPHA = "/home/demo/src/alpha";
const BETA = "/home/demo/src/beta";

/** Starts the program, and a page that shows the usage. */
async function start(t, dir, { args = [], hash = "#usage", routed, ...options } = {}) {
  const server = await serve(t, dir, { args });
  const context = await visit(t, options);
  if (routed) await context.route(API, routed);
  const page = await tab(context, server.url + hash, { ...options, state: "" });
  await page.waitForSelector("#usage-view .badge[data-state=live]");
  return { server, context, page };
}

const answer = (usage) => (route) => route.fulfill({ json: usage() });

/** Writes a response of so many tokens, half of them output. */
function respond(claude, tokens, more = {}) {
  const usage = { input_tokens: tokens / 2, output_tokens: tokens / 2 };
  return claude.say("Done.", { usage, ...more });
}

/** Three sessions of two projects and three models; one of these has no price. */
async function agents(t) {
  const dir = await claudeDir(t);
  const now = Date.now();
  const at = (days) => now - days * DAY_MS;
  const fix = new Claude(dir, "Fix the parser", { project: ALPHA, pid: 0 });
  const test = new Claude(dir, "Write tests", { project: BETA, pid: 0 });
  const old = new Claude(dir, "Old work", { project: BETA, pid: 0 });
  for (const claude of [fix, test, old]) await claude.begin("begin", { at: now });
  await respond(fix, 2_000_000, { at: now, model: "claude-opus-4-1-20250805" });
  await respond(fix, 400_000, { at: at(1), model: "claude-opus-4-1-20250805" });
  await respond(test, 600_000, { at: now, model: "claude-haiku-4-5-20251001" });
  await respond(test, 8_000, { at: at(3), model: "claude-next" });
  await respond(old, 1_000_000, { at: at(20), model: "claude-haiku-4-5-20251001" });
  await respond(old, 1_000_000, { at: at(60), model: "claude-haiku-4-5-20251001" });
  return { dir, fix, test, old };
}

/** Waits until all that `agents` wrote in the last month is counted. */
const counted = (page) => figure(page, 2, /4\.0 M tokens/);
const texts = (page, choice) => page.locator(choice).allTextContents();
const names = (page, table) => texts(page, `#usage-${table} tbody .name`);
const button = (page, name) => page.locator(".choice button", { hasText: new RegExp(`^${name}$`) });
const columns = (page) => page.locator("#usage-days tbody tr");

/** Returns the figures as `$1.23 · 4.5 K tokens · 6 responses`. */
const figures = (page) =>
  page.$$eval("#usage-figures div", (all) =>
    all.map((one) => Array.from(one.querySelectorAll("dd"), (dd) => dd.textContent).join(" · ")),
  );
const says = (page, text) => page.locator("#usage-note", { hasText: text }).waitFor();

async function figure(page, at, wanted) {
  return until(`figure ${at} has ${wanted}`, async () => wanted.test((await figures(page))[at]));
}

test("figures, chart and tables have what the server counts", async (t) => {
  const { dir, fix } = await agents(t);
  const { server, page } = await start(t, dir);
  await figure(page, 2, /4\.0 M tokens · 5 responses/);
  const usage = await (await fetch(`${server.url}api/claude/usage?days=30&by=model`)).json();
  const costs = new Map(usage.rows.map(({ model, costUsd }) => [model, costUsd]));
  const [today, week, month] = await figures(page);
  assert.match(today, /^\$\d+\.\d\d · 2\.6 M tokens · 2 responses$/);
  assert.match(week, /^\$\d+\.\d\d\+ · 3\.0 M tokens · 4 responses$/);
  assert.ok(month.startsWith(`$${usage.total.costUsd.toFixed(2)}+`), month);
  await says(page, "No price for claude-next: its tokens are not in the cost (+).");
  assert.deepEqual(await names(page, "models"), ["opus 4.1", "haiku 4.5", "next"]);
  assert.deepEqual(await texts(page, "#usage-models tbody td:nth-child(2)"), [
    `$${costs.get("claude-opus-4-1-20250805").toFixed(2)}`,
    `$${costs.get("claude-haiku-4-5-20251001").toFixed(2)}`,
    "no price",
  ]);
  assert.deepEqual(await names(page, "projects"), ["alpha", "beta"]);
  assert.deepEqual(await names(page, "sessions"), ["Fix the parser", "Old work", "Write tests"]);
  assert.equal((await texts(page, "#usage-sessions th:visible")).includes("Subagents"), false);
  assert.equal(await columns(page).count(), 30);
  // A screen reader reads the chart as a table.
  const chart = page.getByRole("table", { name: "Cost by day and model" });
  const heads = chart.getByRole("columnheader");
  assert.deepEqual(await heads.allTextContents(), ["Day", "opus 4.1", "haiku 4.5", "Total"]);
  const cells = await chart.getByRole("row").last().getByRole("cell").allTextContents();
  assert.equal(cells[2], today.split(" ")[0]);
  await page.click("#usage-sessions a >> text=Fix the parser");
  await page.locator("#sessions-title", { hasText: "Fix the parser" }).waitFor();
  assert.equal(await page.evaluate(() => location.hash), `#sessions&open=${fix.id}`);
  unproblematic(page);
});

test("what an agent uses is in the figures soon, and nothing is asked for while hidden", async (t) => {
  const { dir, test: agent } = await agents(t);
  const { page } = await start(t, dir);
  await figure(page, 0, /2\.6 M tokens/);
  await page.locator("#usage-sessions a").first().focus();
  const began = Date.now();
  await respond(agent, 1_000_000, { model: "claude-haiku-4-5-20251001" });
  await figure(page, 0, /3\.6 M tokens · 3 responses/);
  t.diagnostic(`in the figures after ${Date.now() - began} ms`);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Fix the parser");
  await page.click("[data-view=sessions]");
  const asked = [];
  page.on("request", (request) => request.url().includes("/usage?") && asked.push(request.url()));
  await respond(agent, 2_000_000, { model: "claude-haiku-4-5-20251001" });
  const card = page.locator(`[data-session-id="${agent.id}"]`);
  // For longer than a request is put off.
  for (const end = Date.now() + 1_500; Date.now() < end; ) {
    const text = `It is ${Date.now()}.`;
    await agent.say(text, { usage: { input_tokens: 1, output_tokens: 1 } });
    await card.locator(".last", { hasText: text }).waitFor();
  }
  assert.match(await card.locator(".figures").textContent(), /\$\d/);
  assert.deepEqual(asked, []);
  await page.click("[data-view=usage]");
  await figure(page, 0, /5\.\d M tokens/);
  unproblematic(page);
});

test("what the server counts only after its event is in the figures too", async (t) => {
  const dir = await claudeDir(t);
  const row = { day: new Date().toISOString().slice(0, 10), model: "claude-a", sessionId: "s" };
  const sum = { input: 1, output: 2, cacheRead: 3, cacheWrite: 4 };
  let isNews = false;
  let countedMs = Infinity;
  let askedMs = 0;
  const usage = () => {
    askedMs = Date.now();
    if (isNews) countedMs = Math.min(countedMs, Date.now() + 500);
    const responses = Date.now() < countedMs ? 1 : 2;
    return { partial: false, unpriced: [], rows: [{ ...row, ...sum, responses }] };
  };
  const { page } = await start(t, dir, { routed: answer(usage) });
  await figure(page, 0, / 1 response$/);
  // The request of an event so soon after another one is put off.
  await until("a quiet second", () => Date.now() > askedMs + 1_000);
  isNews = true;
  await new Claude(dir, "Counted later").status("idle");
  await figure(page, 0, / 2 responses$/);
  unproblematic(page);
});

test("tables sort, the chart is stacked as chosen, and choices are remembered", async (t) => {
  const { dir } = await agents(t);
  const { server, context, page } = await start(t, dir);
  await counted(page);
  const head = (name) => page.locator("#usage-sessions th", { hasText: name });
  assert.equal(await head("Cost").getAttribute("aria-sort"), "descending");
  await head("Session").locator("button").click();
  assert.equal(await head("Session").getAttribute("aria-sort"), "ascending");
  assert.equal(await head("Cost").getAttribute("aria-sort"), null);
  assert.deepEqual(await names(page, "sessions"), ["Fix the parser", "Old work", "Write tests"]);
  await page.keyboard.press("Enter");
  assert.equal(await head("Session").getAttribute("aria-sort"), "descending");
  assert.deepEqual(await names(page, "sessions"), ["Write tests", "Old work", "Fix the parser"]);
  await head("Last day").locator("button").click();
  assert.equal((await names(page, "sessions")).at(-1), "Old work");
  for (const name of ["90 days", "By project", "Tokens"]) {
    await button(page, name).click();
  }
  await figure(page, 3, /5\.0 M tokens/);
  const other = await tab(context, `${server.url}#usage`, { state: "" });
  await figure(other, 3, /5\.0 M tokens/);
  assert.equal(await columns(other).count(), 90);
  const chart = other.getByRole("table", { name: "Tokens by day and project" });
  const heads = chart.getByRole("columnheader");
  assert.deepEqual(await heads.allTextContents(), ["Day", "beta", "alpha", "Total"]);
  await button(other, "7 days").click();
  await until("a week", async () => (await columns(other).count()) === 7);
  assert.equal((await figures(other)).length, 3);
  unproblematic(page, other);
});

test("with the keyboard, a day is read and chosen; Escape shows all again", async (t) => {
  const { dir } = await agents(t);
  const { page } = await start(t, dir);
  await counted(page);
  await button(page, "By project").focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowLeft");
  const readout = page.locator("#usage-readout");
  const legend = page.locator("#usage-legend");
  assert.match(await readout.textContent(), /^\w+, \w+ \d+: \$\d+\.\d\d$/);
  assert.equal(
    await legend.textContent(),
    `opus 4.1${(await readout.textContent()).split(": ")[1]}haiku 4.5$0.00`,
  );
  await page.keyboard.press("Enter");
  assert.deepEqual(await names(page, "sessions"), ["Fix the parser"]);
  assert.match(await page.evaluate(() => location.hash), /^#usage&day=\d{4}-\d\d-\d\d$/);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Home");
  assert.equal(await columns(page).first().locator(":focus").count(), 1);
  await page.keyboard.press("Escape");
  assert.equal((await names(page, "sessions")).length, 3);
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Fix the parser");
  unproblematic(page);
});

test("words and project narrow everything, also in the other views", async (t) => {
  const { dir } = await agents(t);
  const { page } = await start(t, dir, { hash: "#usage&q=tests" });
  await figure(page, 2, /608 K tokens · 2 responses/);
  assert.deepEqual(await names(page, "sessions"), ["Write tests"]);
  await page.keyboard.press("Escape");
  await page.click("#usage-projects button >> text=beta");
  await figure(page, 2, /1\.6 M tokens · 3 responses/);
  assert.equal(await page.inputValue("#usage-project"), BETA);
  await page.click("[data-view=sessions]");
  assert.equal(await page.inputValue("#sessions-project"), BETA);
  await page.selectOption("#sessions-project", ALPHA);
  await page.click("[data-view=usage]");
  await figure(page, 2, /2\.4 M tokens · 2 responses/);
  await page.fill("#usage-search", "no such words");
  await page.locator("#usage-empty h2", { hasText: "Nothing matches" }).waitFor();
  await page.click("#usage-hidden");
  await figure(page, 2, /4\.0 M tokens/);
  unproblematic(page);
});

test("the view says why there is no figure: nothing yet, switched off, server gone", async (t) => {
  const dir = await claudeDir(t);
  const empty = (page, text) => page.locator("#usage-empty h2", { hasText: text }).waitFor();
  const { server, page } = await start(t, dir);
  await empty(page, "No usage in the last 30 days");
  const claude = new Claude(dir, "First", { pid: 0 });
  await claude.begin("go");
  await respond(claude, 2_000);
  await figure(page, 0, /2\.0 K tokens · 1 response/);
  await server.stop();
  await button(page, "7 days").click();
  await says(page, /^No answer from the server. The figures are those of \d/);
  assert.match((await figures(page))[0], /2\.0 K tokens/);
  const off = await start(t, dir, { args: ["--no-transcripts"] });
  await empty(off.page, "Transcripts are switched off");
  unproblematic(page, off.page);
});

test("the view says what is read, that figures are partial, and costs that few sessions have", async (t) => {
  let done = 1_204;
  const row = { day: new Date().toISOString().slice(0, 10), model: "claude-a", sessionId: "s" };
  const sum = { responses: 1, input: 1, output: 2, cacheRead: 3, cacheWrite: 4 };
  const usage = () => ({
    reading: { files: 2_811, done },
    partial: done < 2_811,
    unpriced: ["claude-a", "claude-b"],
    rows: [{ ...row, ...sum, subagents: { costUsd: 0.5 }, reportedCostUsd: 1.2 }],
  });
  const dir = await claudeDir(t);
  const { page } = await start(t, dir, { routed: answer(usage) });
  await says(page, "Reading transcripts: 1,204 of 2,811 files. The figures are not complete yet.");
  await says(page, "No price for claude-a, claude-b: their tokens are not in the cost (+).");
  const progress = page.getByRole("progressbar", { name: "Transcripts read" });
  assert.equal(await progress.getAttribute("value"), "1204");
  assert.match((await figures(page))[2], /^no price/);
  const cells = await texts(page, "#usage-sessions td:visible");
  assert.deepEqual(cells.slice(-3), ["1", "$0.50", "$1.20"]);
  done = 2_811;
  await until("the end", async () => !/Reading/.test(await page.textContent("#usage-note")));
  assert.equal(await progress.count(), 0);
  unproblematic(page);
});

const HOSTILE = [
  "<img src=x onerror=\"globalThis.ran = 'img'\">",
  "\u202Etxet desrever",
  "password=hunter22",
  `long ${"w".repeat(250)}`,
  "مرحبا",
];

test("hostile names are text, masked and marked, and do not widen the page", async (t) => {
  const dir = await claudeDir(t);
  for (const [at, text] of HOSTILE.entries()) {
    const claude = new Claude(dir, text, { project: `/tmp/${text}`, pid: 0 });
    claude.path = claude.path.replace(claude.folder, `${dir}/projects/p${at}`);
    await claude.begin(text);
    const model = at === 2 ? "claude-token=hunter22" : `claude-${at}`;
    await respond(claude, 2_000_000, { model });
  }
  const { page } = await start(t, dir);
  await until("every session", async () => (await names(page, "sessions")).length === 5);
  const text = await page.textContent("#usage-body");
  assert.match(text, /password=••••/);
  assert.match(text, /U\+202e/);
  assert.doesNotMatch(text, /hunter22|\u202E/);
  assert.equal(await page.evaluate(() => globalThis.ran), undefined);
  assert.equal(await page.locator("#usage-view img").count(), 0);
  for (const width of [...WIDTHS, 320]) {
    await page.setViewportSize({ width, height: 900 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} px too wide at ${width} px`);
  }
  unproblematic(page);
});

for (const scheme of ["light", "dark"]) {
  test(`axe finds nothing in the ${scheme} theme: a day, narrow, gone`, async (t) => {
    const { dir } = await agents(t);
    const { server, page } = await start(t, dir, { scheme, reducedMotion: "reduce" });
    const check = async (state) => {
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run("#usage-view"));
      const found = violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]);
      assert.deepEqual(found, [], state);
    };
    await counted(page);
    await columns(page).last().locator("button").click();
    await check("a day");
    await page.setViewportSize({ width: 390, height: 844 });
    await check("narrow");
    await server.stop();
    await button(page, "90 days").click();
    await says(page, "No answer from the server");
    await check("gone");
  });
}
