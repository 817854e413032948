/** Search, filters and older events. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ROWS,
  append,
  line,
  lines,
  open,
  row,
  said,
  sees,
  serve,
  settled,
  tab,
  unproblematic,
  until,
  write,
} from "./harness.js";

test("search and filters narrow the rows, and the address keeps them", async (t) => {
  const other = { project: "/home/demo/beta", sessionId: "77777777-2222-4a7e-9c11-3f1f0a2b0002" };
  const { dir, page, context } = await open(t, [
    ...lines(5),
    ...["one", "two", "three", "four", "five"].map((text) => line(`question ${text}`, other)),
    line("/clear ", other),
  ]);
  await page.keyboard.press("/");
  await page.keyboard.type("QUEST three");
  await settled(page, 1);
  assert.equal(await page.textContent("#live-hidden"), "10 hidden: show all");
  await append(dir, line("question three again"), line("nothing"));
  await settled(page, 2);
  const again = await tab(context, page.url());
  await settled(again, 2);
  assert.equal(await again.inputValue("#claude-live-search"), "QUEST three");
  await page.keyboard.press("Escape");
  await settled(page, 13);
  assert.equal(new URL(page.url()).hash, "");
  await page.locator(`${ROWS} .pick[data-pick=project]`, { hasText: "beta" }).first().click();
  await settled(page, 6);
  assert.equal(await page.inputValue("#live-project"), "/home/demo/beta");
  await page.selectOption("#live-kind", { label: "slash command" });
  await settled(page, 1);
  await page.click("#live-hidden");
  await settled(page, 13);
  await page.fill("#claude-live-search", "no such thing");
  await page.locator("#live-empty", { hasText: "Nothing matches" }).waitFor();
  unproblematic(page, again);
});

test("the words of a search are marked while it lasts", async (t) => {
  const secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789";
  const { dir, page } = await open(t, [
    line("an İ before question"),
    line("Question? a question!"),
    line(`question ${secret}`),
  ]);
  const marked = () =>
    page.evaluate(() =>
      Array.from(CSS.highlights.get("found"), ({ startContainer, startOffset, endOffset }) =>
        startContainer.data.slice(startOffset, endOffset),
      ),
    );
  await page.fill("#claude-live-search", 'QUEST "a quest" -nowhere');
  await settled(page, 1);
  assert.deepEqual(await marked(), ["Quest", "quest", "a quest"]);
  await append(dir, line("a quest"));
  await settled(page, 2);
  assert.deepEqual(await marked(), ["quest", "a quest", "Quest", "quest", "a quest"]);
  await page.locator(`${ROWS} .open`).first().click();
  assert.deepEqual((await marked()).length, 7);
  await page.fill("#claude-live-search", "abcdefghij");
  await settled(page, 1);
  assert.deepEqual(await marked(), []);
  assert.equal(await page.getAttribute(`${ROWS} .what`, "data-more"), "match in the details");
  await page.locator(".said .secret").click();
  assert.deepEqual(await marked(), ["abcdefghij"]);
  assert.equal(await page.locator("[data-more]").count(), 0);
  await page.fill("#claude-live-search", "İ before");
  await settled(page, 1);
  assert.deepEqual((await marked()).at(-1), "before");
  await page.fill("#claude-live-search", "");
  await settled(page, 4);
  assert.deepEqual(await marked(), []);
  unproblematic(page);
});

test("the words of a search are marked in details once they are unfolded", async (t) => {
  const deep = JSON.stringify({
    ...JSON.parse(line("deep")),
    a: { b: { c: { d: { e: "the needle" } } } },
  });
  const { page } = await open(t, [deep]);
  const count = () => page.evaluate(() => CSS.highlights.get("found").size);
  await page.fill("#claude-live-search", "needle");
  await page.locator("[data-more]").waitFor();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await page.locator(".detail").waitFor();
  assert.equal(await count(), 0);
  await page.locator(".json details:not([open]) > summary").click();
  await until("it is marked", async () => (await count()) === 1);
});

test("a search finds lines that are older than the first backlog", async (t) => {
  const { page, context } = await open(t, [line("the first"), ...lines(400)]);
  await page.fill("#claude-live-search", '"the first"');
  await sees(page, "the first");
  const again = await tab(context, page.url());
  await sees(again, "the first");
  await page.fill("#claude-live-search", "");
  await settled(page, 401);
  unproblematic(page, again);
});

/** In the page: clicks, and waits for the last row to have a text, without work for the page. */
async function showOlder(text) {
  const start = performance.now();
  const body = document.querySelector("tbody");
  scrollTo(0, document.body.scrollHeight);
  await new Promise((resume) => {
    const look = () =>
      body.lastElementChild.querySelector(".said").textContent === text && resume();
    new MutationObserver(look).observe(body, { childList: true });
    document.querySelector("#live-older").click();
  });
  return { ms: performance.now() - start, rows: body.childElementCount };
}

/** Shows older events until there are so many rows. */
async function older(page, count) {
  await page.press("#live-older", "Enter");
  await settled(page, count);
}

const yesterday = { timestamp: Date.now() - 86_400_000 };
const texts = (newest, oldest) =>
  Array.from({ length: newest - oldest + 1 }, (_, at) => `old ${newest - at}`);

test("older events go on to the beginning of the file", async (t) => {
  const { dir, page } = await open(t, lines(1_850, "old", yesterday));
  await settled(page, 200);
  for (const count of [700, 1_200, 1_700]) await older(page, count);
  assert.equal(await page.textContent("#live-end"), "");
  await older(page, 1_850);
  assert.deepEqual(await said(page), texts(1_849, 0));
  assert.equal(await page.locator("#live-older").isVisible(), false);
  assert.equal(await page.textContent("#live-end"), "The history begins here.");
  await page.evaluate(() => scrollTo(0, 0));
  await append(dir, ...lines(3, "new"));
  await settled(page, 1_853);
  assert.deepEqual((await said(page)).slice(0, 4), ["new 2", "new 1", "new 0", "old 1849"]);
  unproblematic(page);
});

test("with 20,000 older rows the page stays bounded, and goes back to the newest", async (t) => {
  const { page } = await open(t, lines(20_200, "old", yesterday));
  const steps = [];
  for (let oldest = 20_000; oldest > 0; oldest -= 500) {
    const step = await page.evaluate(showOlder, `old ${oldest - 500}`);
    steps.push(step.ms);
    assert.ok(step.rows <= 6_000, `${step.rows} rows`);
  }
  t.diagnostic(`milliseconds of each step: ${steps.map(Math.round).join(" ")}`);
  assert.deepEqual(await said(page), texts(4_999, 0));
  assert.match(
    await page.textContent("#live-end"),
    /^The page holds 5,000 older lines at a time\.$/,
  );
  await page.evaluate(() => scrollTo(0, 0));
  const back = await page.locator("#live-new").boundingBox();
  const first = await page.locator(ROWS).first().boundingBox();
  assert.ok(back.y + back.height <= first.y, "the button covers the first row");
  await page.click("#live-new");
  await settled(page, 200);
  assert.equal((await said(page))[0], "old 20199");
  assert.equal(await page.evaluate(() => scrollY), 0);
  await page.locator("#live-new").waitFor({ state: "hidden" });
  await older(page, 700);
  unproblematic(page);
});

test("a reset drops older rows, which can be read again", async (t) => {
  const all = lines(1_000, "old", yesterday);
  const { dir, page } = await open(t, all);
  await older(page, 700);
  await write(dir, ...all.slice(100));
  await until("that older rows are gone", async () => (await page.locator(ROWS).count()) < 300);
  // Hidden until the lines are read again.
  await page.locator("#live-older").waitFor();
  await older(page, 700);
  assert.deepEqual(await said(page), texts(999, 300));
  unproblematic(page);
});

test("older rows stay after a restart", async (t) => {
  const { dir, server, page } = await open(t, lines(1_000, "old", yesterday));
  await older(page, 700);
  await server.stop();
  const reload = page.waitForResponse(/backlog\?limit=\d+$/);
  await serve(t, dir, { port: server.port });
  await reload;
  await page.locator("#app-status", { hasText: "gap reloaded" }).waitFor();
  await append(dir, line("after"));
  await page.locator("#live-new", { hasText: "1 new" }).waitFor();
  assert.deepEqual(await said(page), texts(999, 300));
  unproblematic(page);
});

test("a search says how far it has looked, and looks further", async (t) => {
  const first = [line("the needle", yesterday), ...lines(299, "old", yesterday)];
  const { page } = await open(t, [...first, ...lines(15_000, "hay", yesterday)]);
  await page.fill("#claude-live-search", "needle");
  const end = page.locator("#live-end");
  await end.filter({ hasText: "Searched the newest 1,200 lines." }).waitFor();
  await page.locator("#live-empty", { hasText: "Nothing matches" }).waitFor();
  assert.equal(await page.textContent("#live-older"), "Search further");
  await page.press("#live-older", "Enter");
  await end.filter({ hasText: "Searched the newest 11,200 lines." }).waitFor();
  await page.press("#live-older", "Enter");
  await end.filter({ hasText: "Searched all 15,300 lines." }).waitFor();
  assert.deepEqual(await said(page), ["the needle"]);
  await page.locator("#live-older").waitFor({ state: "hidden" });
  await page.fill("#claude-live-search", "hay");
  await settled(page, 500);
  await older(page, 1_000);
  unproblematic(page);
});

test("older lines that cannot be read are asked for again by the next click", async (t) => {
  const { page } = await open(t, lines(1_000, "old", yesterday));
  await page.route("**/backlog?*before=*", (route) => route.abort());
  await page.press("#live-older", "Enter");
  await page.locator("#live-end", { hasText: "The server did not answer. Try again." }).waitFor();
  await page.unroute("**/backlog?*before=*");
  await older(page, 700);
  assert.equal(await page.textContent("#live-end"), "");
  unproblematic(page);
});

test("a file that is held as a whole has no older events and no note about them", async (t) => {
  const { page, server, context } = await open(t, lines(200));
  await settled(page, 200);
  const gone = await tab(context, `${server.url}#project=/gone`);
  await gone.locator("#live-empty", { hasText: "Nothing matches" }).waitFor();
  for (const one of [page, gone]) {
    await one.locator("#live-older").waitFor({ state: "hidden" });
    assert.equal(await one.textContent("#live-end"), "");
  }
  unproblematic(page, gone);
});

test("older events are offered if there are any", async (t) => {
  const { page } = await open(t, lines(600));
  await page.fill("#claude-live-search", "prompt");
  await settled(page, 500);
  assert.ok(await page.locator("#live-older").isVisible());
  await page.fill("#claude-live-search", "nothing like this");
  await page.locator("#live-older").waitFor({ state: "hidden" });
  await page.fill("#claude-live-search", "prompt");
  await older(page, 600);
  await page.locator("#live-older").waitFor({ state: "hidden" });
});
