/** How fast the page is, on the machine that the tests run on. Figures are printed. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { PATIENCE_MS, ROWS, append, claudeDir, ids, line, lines, open, said, sees, serve, tab, unproblematic, until, visit, write } from "./harness.js";

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/**
 * How much longer than its own processor time a piece of work takes here and now: 1 on a machine with nothing else to do.
 * Limits in wall time are stretched by it, so that a busy machine does not fail what is fast.
 */
function slowness() {
  const [start, before] = [performance.now(), process.cpuUsage()];
  while (performance.now() - start < 300);
  const { user, system } = process.cpuUsage(before);
  return Math.max(1, 300_000 / Math.max(1, user + system));
}

/** The page's tasks between now and the call of what this gives, each in milliseconds of processor time, the longest first. */
async function traceTasks(context, page) {
  const devtools = await context.newCDPSession(page);
  const events = [];
  devtools.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  await devtools.send("Tracing.start", { transferMode: "ReportEvents", categories: "toplevel,devtools.timeline,disabled-by-default-devtools.timeline" });
  return async () => {
    const complete = new Promise((resume) => devtools.once("Tracing.tracingComplete", resume));
    await devtools.send("Tracing.end");
    await complete;
    const { pid, tid } = events.find(({ name }) => name === "FunctionCall");
    const tasks = events.filter((event) => event.name === "RunTask" && event.pid === pid && event.tid === tid);
    return tasks.map(({ tdur }) => (tdur ?? 0) / 1000).sort((a, b) => b - a);
  };
}

test("a lone prompt is in the page soon after its append (median of 11)", async (t) => {
  const { dir, page } = await open(t, lines(200));
  await page.evaluate(() => {
    globalThis.seen = new Map();
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) for (const node of addedNodes) globalThis.seen.set(node.querySelector(".said")?.textContent, Date.now());
    }).observe(document.querySelector("tbody"), { childList: true });
  });
  const took = [];
  for (let at = 0; at < 11; at += 1) {
    const quiet = Date.now() + 1_050;
    await until("a quiet second", () => Date.now() > quiet);
    const before = Date.now();
    await append(dir, line(`lone ${at}`));
    took.push((await until("the row", () => page.evaluate((text) => globalThis.seen.get(text), `lone ${at}`))) - before);
  }
  t.diagnostic(`append to DOM: median ${median(took)} ms, longest ${Math.max(...took)} ms`);
  // The aim is 50 ms, which depends on the machine as well.
  assert.ok(median(took) <= 200 * slowness(), String(took));
});

test("the first rows are there soon after navigation (median of 7)", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, ...lines(1_500));
  const server = await serve(t, dir);
  const took = [];
  for (let at = 0; at < 7; at += 1) {
    const context = await visit(t);
    const page = await context.newPage();
    await page.addInitScript((rows) => {
      const look = () => (document.querySelector(rows) ? (globalThis.firstRow = performance.now()) : requestAnimationFrame(look));
      look();
    }, ROWS);
    await page.goto(server.url);
    took.push(await until("a row", () => page.evaluate(() => globalThis.firstRow)));
    await context.close();
  }
  const factor = slowness();
  t.diagnostic(`navigation to first row: median ${Math.round(median(took))} ms, longest ${Math.round(Math.max(...took))} ms; the machine is ${factor.toFixed(1)} times slower than alone`);
  // The aim is 300 ms, which depends on the machine; here it only must not be lost by an order of magnitude.
  assert.ok(median(took) <= 1_000 * factor, String(took));
});

test("10,000 events in 5 s keep the page responsive, and the newest are right", async (t) => {
  const { dir, page, context } = await open(t, lines(200));
  const tasks = await traceTasks(context, page);
  const sessions = Array.from({ length: 12 }, (_, at) => ({ sessionId: `${at}0b6f3c52-1111`, project: `/p/${at % 5}` }));
  for (let part = 0; part < 50; part += 1) {
    const next = Date.now() + 100;
    await append(dir, ...Array.from({ length: 200 }, (_, at) => line(`flood ${part * 200 + at}`, sessions[at % 12])));
    await until("the next tenth of a second", () => Date.now() >= next);
  }
  await sees(page, "flood 9999");
  const shown = await said(page);
  assert.deepEqual(shown, Array.from({ length: 500 }, (_, at) => `flood ${9_999 - at}`));
  assert.equal(new Set(await ids(page)).size, 500);
  const [longest, second, ...others] = await tasks();
  const all = [longest, second, ...others].reduce((sum, task) => sum + task, 0);
  t.diagnostic(`flood: longest tasks ${Math.round(longest)} and ${Math.round(second)} ms, all ${Math.round(all)} ms of processor time`);
  assert.ok(longest < 400, `a task of ${longest} ms`); // The aim is 100 ms.
  unproblematic(page);
});

test("memory stays flat over 100,000 events", async (t) => {
  const { dir, page, context } = await open(t, lines(200));
  const devtools = await context.newCDPSession(page);
  const used = async () => {
    await devtools.send("HeapProfiler.collectGarbage");
    const { usedSize } = await devtools.send("Runtime.getHeapUsage");
    const { nodes } = await devtools.send("Memory.getDOMCounters");
    return { megabytes: usedSize / 1e6, nodes };
  };
  const flood = async (from, count) => {
    for (let at = from; at < from + count; at += 1_000) await append(dir, ...lines(1_000, `${at} of many`));
    await until("the newest row", async () => (await said(page))[0] === `${from + count - 1_000} of many 999`, 8 * PATIENCE_MS);
  };
  await flood(0, 20_000);
  const early = await used();
  await flood(20_000, 80_000);
  const late = await used();
  t.diagnostic(`heap after 20,000 events ${early.megabytes.toFixed(1)} MB and ${early.nodes} nodes, after 100,000 ${late.megabytes.toFixed(1)} MB and ${late.nodes} nodes`);
  assert.ok(late.megabytes < early.megabytes * 1.3 + 1);
  assert.ok(late.nodes < early.nodes * 1.3);
});
