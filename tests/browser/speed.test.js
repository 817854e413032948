/**
 * Counts that keep the page fast. Its times depend on the machine; `make bench ARGS=page`
 * measures them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  PATIENCE_MS,
  ROWS,
  append,
  claudeDir,
  flood,
  ids,
  line,
  lines,
  open,
  said,
  sees,
  serve,
  settled,
  tab,
  unproblematic,
  until,
  visit,
  write,
} from "./harness.js";

/** The least height of a row in pixels, as `live.js` assumes it. */
const ROW_PX = 30;

test("a prompt after a quiet second is shown without a timer", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, ...lines(200));
  const server = await serve(t, dir);
  const context = await visit(t);
  await context.clock.install();
  const page = await tab(context, server.url);
  await settled(page, 200);
  await context.clock.pauseAt(Date.now() + 5_000);
  await append(dir, line("at once"));
  await sees(page, "at once");
  unproblematic(page);
});

test("the backlog and the sessions are requested once, by the page's head", async (t) => {
  const yesterday = { timestamp: Date.now() - 86_400_000 };
  const { page } = await open(t, lines(200, "prompt", yesterday));
  const asked = await page.evaluate(() =>
    performance.getEntriesByType("resource").filter(({ name }) => name.includes("/api/claude/")),
  );
  const requests = asked.filter(({ name }) => !name.includes("stream"));
  assert.deepEqual(
    requests.map(({ initiatorType }) => initiatorType),
    ["link", "link"],
  );
  unproblematic(page);
});

test("the first task draws a screenful of rows, and later tasks the rest", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, ...lines(1_500));
  const server = await serve(t, dir);
  const context = await visit(t, { height: 900 });
  await context.addInitScript((rows) => {
    globalThis.draws = [];
    const count = (selector) => document.querySelectorAll(selector).length;
    const look = () =>
      globalThis.draws.push({ rows: count(rows), choices: count("#live-project option") });
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
  }, ROWS);
  const page = await tab(context, server.url);
  await settled(page, 200);
  const draws = (await page.evaluate(() => globalThis.draws)).filter(({ rows }) => rows > 0);
  assert.deepEqual(draws[0], { rows: 900 / ROW_PX, choices: 0 });
  assert.ok(draws.at(-1).rows === 200 && draws.at(-1).choices > 0);
  await until(
    "exact times, which come last",
    async () => (await page.locator(`${ROWS} time[title*=":"]`).count()) === 200,
  );
  unproblematic(page);
});

test("10,000 events in 5 s are rendered once per second, and the newest rows are right", async (t) => {
  const { dir, page } = await open(t, lines(200));
  await page.evaluate(() => {
    globalThis.renders = [];
    new MutationObserver(() => globalThis.renders.push(performance.now())).observe(
      document.querySelector("tbody"),
      { childList: true },
    );
  });
  await flood(dir);
  await sees(page, "flood 9999");
  assert.deepEqual(
    await said(page),
    Array.from({ length: 500 }, (_, at) => `flood ${9_999 - at}`),
  );
  assert.equal(new Set(await ids(page)).size, 500);
  const renders = await page.evaluate(() => globalThis.renders);
  const pauses = renders.slice(1).map((at, index) => at - renders[index]);
  t.diagnostic(`renders after ${pauses.map(Math.round).join(", ")} ms`);
  assert.ok(
    renders.length >= 3 && renders.length <= 2 + (renders.at(-1) - renders[0]) / 1_000,
    String(pauses),
  );
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
  const newest = page.locator(`${ROWS} .said`).first();
  const shows = (text) =>
    until(
      `the newest row "${text}"`,
      async () => (await newest.textContent()) === text,
      8 * PATIENCE_MS,
    );
  const pour = async (from, count) => {
    for (let at = from; at < from + count; at += 1_000)
      await append(dir, ...lines(1_000, `${at} of many`));
    await shows(`${from + count - 1_000} of many 999`);
    // A resync in the flood reloads 200 rows; the ring holds these 500, which fill the table.
    await append(dir, ...lines(500, `${from} settles`));
    await shows(`${from} settles 499`);
    assert.equal(await page.locator(ROWS).count(), 500);
  };
  await pour(0, 20_000);
  const early = await used();
  await pour(20_000, 80_000);
  const late = await used();
  t.diagnostic(
    `heap after 20,000 events ${early.megabytes.toFixed(1)} MB and ${early.nodes} nodes, after 100,000 ${late.megabytes.toFixed(1)} MB and ${late.nodes} nodes`,
  );
  assert.ok(late.megabytes < early.megabytes * 1.3 + 1);
  assert.ok(late.nodes < early.nodes * 1.3);
});
