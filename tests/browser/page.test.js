/** Use of the page: reading, pausing, scrolling, the keyboard. */
import assert from "node:assert/strict";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import {
  ROWS,
  WIDTHS,
  append,
  claudeDir,
  ids,
  inState,
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
  visit,
  write,
} from "./harness.js";

test("the backlog is shown newest first, and a new line is a row within two seconds", async (t) => {
  const { dir, page } = await open(t, lines(250));
  assert.deepEqual((await said(page)).slice(0, 2), ["prompt 249", "prompt 248"]);
  assert.equal((await ids(page)).length, 200);
  const before = Date.now();
  await append(dir, line("hello"));
  await sees(page, "hello");
  assert.ok(Date.now() - before < 2_000);
  assert.equal((await said(page))[0], "hello");
  assert.equal(await page.textContent("#claude-live-conn"), "live");
  assert.equal(await page.locator('button[data-view="live"]').count(), 1);
  unproblematic(page);
});

test("an empty page says what it waits for, and shows the first prompt without a reload", async (t) => {
  const { dir, page } = await open(t, null);
  await page.locator("#live-empty h2").filter({ hasText: "history.jsonl" }).waitFor();
  assert.match(await page.textContent("#app-status"), /does not exist yet/);
  await write(dir, line("the first"));
  await sees(page, "the first");
  await page.locator("#live-empty").waitFor({ state: "hidden" });
  unproblematic(page);
});

test("a paused page counts the events that wait, and shows them on resuming", async (t) => {
  const { dir, page } = await open(t, lines(3));
  await page.keyboard.press("p");
  await append(dir, ...lines(7, "later"));
  await page.locator("#claude-live-pause", { hasText: "7 new" }).waitFor();
  assert.equal(await page.locator(ROWS).count(), 3);
  await page.click("#claude-live-pause");
  await settled(page, 10);
  assert.equal(await page.textContent("#claude-live-pause"), "Pause");
});

test("a paused page drops purged prompts at once, and shows nothing new until it resumes", async (t) => {
  const texts = lines(5);
  const { dir, server, page } = await open(t, texts);
  await page.click("#claude-live-pause");
  await page.locator(ROWS).first().click();
  await write(dir, ...texts.slice(0, 4));
  await until(
    "that the purged prompt leaves",
    async () => !(await page.content()).includes("prompt 4"),
  );
  assert.deepEqual(await said(page), ["prompt 3", "prompt 2", "prompt 1", "prompt 0"]);
  assert.equal(await page.textContent("#claude-live-pause"), "Resume · 1 new");
  await server.stop();
  await inState(page, "reconnecting");
  await write(dir, ...texts.slice(0, 3), ...lines(2, "after"));
  await serve(t, dir, { port: server.port });
  await inState(page, "live");
  await page.locator("#claude-live-pause", { hasText: "new" }).waitFor();
  await append(dir, line("last"));
  await until(
    "all that waits is counted",
    async () => (await page.textContent("#claude-live-pause")) === "Resume · 4 new",
  );
  assert.deepEqual(await said(page), ["prompt 2", "prompt 1", "prompt 0"]);
  await page.click("#claude-live-pause");
  await sees(page, "last");
  assert.deepEqual(
    (await said(page)).filter((text) => !text.startsWith("the history file was")),
    ["last", "after 1", "after 0", "prompt 2", "prompt 1", "prompt 0"],
  );
  unproblematic(page);
});

test("a history that is rewritten while paused keeps its older prompts", async (t) => {
  const texts = lines(400);
  const { dir, page } = await open(t, texts);
  await page.click("#claude-live-pause");
  await write(dir, ...texts.slice(1, -1));
  await settled(page, 199);
  assert.equal(await page.textContent("#claude-live-pause"), "Resume · 1 new");
  await page.fill("#claude-live-search", '"prompt 7"');
  await sees(page, "prompt 7");
  await page.fill("#claude-live-search", "");
  await page.click("#claude-live-pause");
  await settled(page, 399);
  unproblematic(page);
});

test("an unreadable history is reported above the rows and in their place until it is readable", async (t) => {
  const dir = await claudeDir(t);
  await mkdir(join(dir, "history.jsonl"));
  const server = await serve(t, dir);
  const page = await tab(await visit(t), server.url);
  const words = `Cannot read ${join(dir, "history.jsonl")}: is a directory, not a file`;
  await page.locator("#app-banner", { hasText: words }).waitFor();
  await page.locator("#live-empty h2", { hasText: words }).waitFor();
  assert.match(await page.getAttribute("#app-icon", "href"), /favicon-off/);
  await rm(join(dir, "history.jsonl"), { recursive: true });
  await write(dir, line("readable"));
  await sees(page, "readable");
  await page.locator("#app-banner").waitFor({ state: "hidden" });
  unproblematic(page);
});

test("the badge stays in sight while scrolling, at every width", async (t) => {
  const { page } = await open(t, lines(100));
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    await page.locator(ROWS).last().scrollIntoViewIfNeeded();
    const { y, height } = await page.locator("#claude-live-conn").boundingBox();
    assert.ok(y >= 0 && y + height < 800, `${width} px: at ${y}`);
  }
});

test("reading further down is not disturbed, and a button counts new rows", async (t) => {
  const { dir, page } = await open(t, lines(100));
  await page.locator(ROWS).nth(60).scrollIntoViewIfNeeded();
  const place = await page.locator(ROWS).nth(60).boundingBox();
  await until("that reading is noticed", async () => {
    await append(dir, line("later"));
    return page.locator("#live-new").isVisible();
  });
  assert.match(await page.textContent("#live-new"), /^\d+ new$/);
  const rows = await page.locator(ROWS).count();
  const row = page.locator(ROWS).nth(60 + rows - 100);
  const moved = (await row.boundingBox()).y - place.y;
  // A scroll position is rounded to a pixel of the screen.
  assert.ok(Math.abs(moved) < 1, `moved by ${moved} px`);
  await page.click("#live-new");
  await until(
    "the newest row on top",
    async () => (await said(page))[0] === "later" && (await page.evaluate(() => scrollY)) === 0,
  );
  await page.locator("#live-new").waitFor({ state: "hidden" });
});

test("rows that arrive above the ones in sight do not move them", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, ...lines(100));
  const server = await serve(t, dir);
  const context = await visit(t);
  // Without news about scrolling the page adds rows while its user reads further down.
  await context.addInitScript(() => (IntersectionObserver.prototype.observe = () => {}));
  const page = await tab(context, server.url);
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    const mark = row(page, "prompt 40");
    await mark.evaluate((tr) => scrollBy(0, tr.getBoundingClientRect().top - 400));
    const { y } = await mark.boundingBox();
    for (const text of ["one", "a\\nb", "see `code` and [Image #1]", "/clear "]) {
      const count = await page.locator(ROWS).count();
      await append(dir, line(`${text.replace("\\n", "\n")}`));
      await settled(page, count + 1);
    }
    const moved = Math.abs((await mark.boundingBox()).y - y);
    assert.ok(moved < 0.01, `${moved} px at ${width} px`);
  }
  unproblematic(page);
});

test("cleared rows can be shown again", async (t) => {
  const { dir, page } = await open(t, lines(4));
  await page.keyboard.press("c");
  await page.locator("#live-empty", { hasText: "Cleared" }).waitFor();
  await page.fill("#claude-live-search", "prompt");
  await page.locator("#live-empty", { hasText: "Cleared" }).waitFor();
  assert.equal(await page.textContent("#live-hidden"), "show all");
  await page.fill("#claude-live-search", "");
  await page.locator("h1").click();
  await append(dir, line("after"));
  await settled(page, 1);
  await page.click("#live-clear");
  await settled(page, 5);
});

/** Waits until the chart's minutes stay where they are for a while. */
const earlyInAMinute = () => until("no minute ends soon", () => Date.now() % 60_000 < 45_000);

test("totals and chart count all events that are held", async (t) => {
  await earlyInAMinute();
  const now = Date.now();
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  const { page } = await open(t, [
    ...lines(300, "today", { timestamp: Math.max(midnight, now - 1_000) }),
    line("b", { project: "/b", sessionId: "b" }),
  ]);
  await until("all prompts of today", async () =>
    /^301\+?$/.test(await page.textContent("#live-prompts")),
  );
  assert.equal(await page.textContent("#live-projects"), "2");
  await page.locator("#live-chart .readout", { hasText: "last hour: 301 prompts" }).waitFor();
  await page.focus("#live-chart");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowRight");
  assert.match(
    await page.getAttribute("#live-chart", "aria-valuetext"),
    // The first ones can be of the minute before.
    /: (301 prompts · alpha 300|1 prompt) · b 1$/,
  );
  await page.keyboard.press("Enter");
  assert.ok(await page.evaluate(() => document.activeElement.matches(".open")));
});

test("a pointer on the chart shows a minute's numbers, and a click goes to its rows", async (t) => {
  await earlyInAMinute();
  const half = Date.now() - 30 * 60_000;
  const { page } = await open(t, [
    ...lines(60, "older", { timestamp: half }),
    ...lines(60, "newer"),
  ]);
  const bar = page.locator("#live-chart g:has(.bar)").first();
  const { x, y } = await bar.boundingBox();
  await page.mouse.move(x + 3, y + 3);
  await page.locator("#live-chart .readout", { hasText: /: 60 prompts · alpha 60$/ }).waitFor();
  await page.mouse.click(x + 3, y + 3);
  assert.equal(
    await page.evaluate(
      () => document.activeElement.closest("tr").querySelector(".said").textContent,
    ),
    "older 59",
  );
  await page.mouse.move(0, 0);
  await page.locator("#live-chart .readout", { hasText: "last hour: 120 prompts" }).waitFor();
});

test("the keyboard does everything, and the focus is never lost", async (t) => {
  const { dir, page } = await open(t, lines(10));
  const focused = () =>
    page.evaluate(() => document.activeElement.closest("tr")?.querySelector(".said").textContent);
  await page.keyboard.press("j");
  assert.equal(await focused(), "prompt 9");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  assert.equal(await focused(), "prompt 8");
  await page.keyboard.press("Enter");
  await page.locator("tr.detail").waitFor();
  assert.equal(await page.getAttribute(`${ROWS}:has(+ .detail) .open`, "aria-expanded"), "true");
  await append(dir, line("later"));
  await sees(page, "later");
  assert.equal(await focused(), "prompt 8");
  await page.keyboard.press("g");
  assert.equal(await focused(), "later");
  await page.keyboard.press("?");
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "hidden" });
  assert.equal(await page.locator("tr.detail").count(), 1);
  await page.keyboard.press("/");
  await page.keyboard.type("jkp");
  assert.equal(await page.inputValue("#claude-live-search"), "jkp");
});

test("Escape closes the focused row, and then clears the search", async (t) => {
  const { page } = await open(t, lines(5));
  await page.fill("#claude-live-search", 'prompt -"prompt 4"');
  await settled(page, 4);
  await page.locator(`${ROWS} .open`).nth(2).click();
  await row(page, "prompt 2").click();
  await page.locator(`${ROWS} .open`).nth(1).focus();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Copy prompt");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("tr.detail").count(), 1);
  assert.equal(
    await page.evaluate(
      () => document.activeElement.closest("tr").querySelector(".said").textContent,
    ),
    "prompt 2",
  );
  await page.keyboard.press("Escape");
  await settled(page, 5);
  assert.equal(await page.locator("tr.detail").count(), 1);
  unproblematic(page);
});

test("Tab reaches the tools and the buttons of open rows", async (t) => {
  const { page } = await open(t, lines(50));
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  const stops = [];
  for (let at = 0; at < 25; at += 1) {
    await page.keyboard.press("Tab");
    stops.push(
      await page.evaluate(
        () => document.activeElement.id || document.activeElement.textContent.slice(0, 20),
      ),
    );
  }
  for (const stop of [
    "Live",
    "live-chart",
    "claude-live-search",
    "live-kind",
    "claude-live-pause",
    "Copy prompt",
    "Copy resume command",
    "Copy raw line",
    "Copy JSON",
  ])
    assert.ok(stops.includes(stop), `${stop} in ${stops}`);
});

test("a hidden tab counts new events in its title, and marks the end of the last visit", async (t) => {
  const { dir, page } = await open(t, lines(3, "prompt", { timestamp: Date.now() - 120_000 }));
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    }, hidden);
  await hide(true);
  await append(dir, line("at once"));
  await until("the title counts", async () => (await page.title()) === "(1) claude-live");
  await hide(false);
  await settled(page, 4);
  assert.equal(await page.locator(`${ROWS}[data-left]`).count(), 0);
  await hide(true);
  await page.evaluate(() => (localStorage.claudeLiveLeft -= 61_000));
  await append(dir, ...lines(3, "away"));
  await until("the title counts", async () => (await page.title()) === "(3) claude-live");
  assert.equal(await page.locator(ROWS).count(), 4);
  await hide(false);
  await settled(page, 7);
  assert.equal(await page.title(), "claude-live");
  const mark = page.locator(`${ROWS}[data-left]`);
  assert.equal(await mark.locator(".said").textContent(), "prompt 2");
  assert.match(await mark.getAttribute("data-left"), /^you were last here at /);
});

test("a visit after a minute marks the end of the last one", async (t) => {
  const { dir, page, context, server } = await open(
    t,
    lines(3, "prompt", { timestamp: Date.now() - 120_000 }),
  );
  await append(dir, line("at once", { timestamp: Date.now() + 5_000 }));
  await page.reload();
  await sees(page, "at once");
  assert.equal(await page.locator(`${ROWS}[data-left]`).count(), 0);
  await page.close({ runBeforeUnload: false });
  await context.addInitScript(() => (localStorage.claudeLiveLeft = Date.now() - 61_000));
  const again = await tab(context, server.url);
  await sees(again, "at once");
  assert.equal(await again.locator(`${ROWS}[data-left] .said`).textContent(), "prompt 2");
});

test("a new prompt that matches the filter is notified once notifications are on", async (t) => {
  const { dir, page } = await open(t, lines(1), {
    permissions: ["notifications"],
    hash: "#q=wanted",
  });
  await page.evaluate(() => {
    globalThis.shown = [];
    globalThis.Notification = class {
      static permission = "granted";
      static requestPermission = async () => "granted";
      constructor(title, { body }) {
        globalThis.shown.push(`${title}: ${body}`);
      }
    };
    document.hasFocus = () => false;
    // The page notes every second that it has the focus.
    delete localStorage.claudeLiveSeen;
  });
  await append(dir, line("wanted before"));
  await sees(page, "wanted before");
  await page.click("#app-notify");
  assert.equal(await page.getAttribute("#app-notify", "aria-pressed"), "true");
  await append(dir, line("other"), line("wanted password=hunter2"));
  await until("a notification", () => page.evaluate(() => globalThis.shown.length > 0));
  assert.deepEqual(await page.evaluate(() => globalThis.shown), ["alpha: wanted password=••••"]);
});

test("the page says that the browser blocks notifications", async (t) => {
  const { page } = await open(t, lines(1));
  await page.evaluate(() => (Notification.requestPermission = async () => "denied"));
  await page.click("#app-notify");
  await page.locator("#app-notify", { hasText: "blocked by the browser" }).waitFor();
  assert.equal(await page.getAttribute("#app-notify", "aria-pressed"), "false");
});

test("the status line shows the followed file and how far it is read", async (t) => {
  const { dir, page } = await open(t, [line("a"), "no json"]);
  const status = page.locator("#app-status");
  await status.filter({ hasText: "1 malformed" }).waitFor();
  const { size } = await stat(join(dir, "history.jsonl"));
  const shown = await status.innerText();
  assert.ok(shown.includes(`${join(dir, "history.jsonl")} ${size} B of ${size} B read`), shown);
  assert.match(shown, /2 rows shown/);
  assert.doesNotMatch(shown, /too long/);
});

test("the status line shows the time of the last event, whatever the newest line says", async (t) => {
  const now = Date.now();
  const texts = [
    "no time",
    line("recent", { timestamp: now - 3 * 3_600_000 }),
    line("tomorrow", { timestamp: now + 86_400_000 }),
    line("old", { timestamp: now - 400 * 86_400_000 }),
  ];
  const { page, dir } = await open(t, texts);
  const status = page.locator("#app-status");
  await status.filter({ hasText: "last event 3h ago" }).waitFor();
  await append(dir, line("older still", { timestamp: now - 500 * 86_400_000 }));
  await status.filter({ hasText: "last event now" }).waitFor();
});

test("the page weighs under 130 KB as sent", async (t) => {
  const { server, context } = await open(t, lines(1));
  const page = await context.newPage();
  const files = [];
  page.on("response", (answer) => files.push(answer));
  await page.goto(server.url);
  await page.waitForSelector("#claude-live-conn[data-state=live]");
  const isFile = (answer) => answer.url() === server.url || answer.url().includes("/static/");
  const sizesOf = async (answer) => {
    const { responseBodySize, responseHeadersSize } = await answer.request().sizes();
    return [responseBodySize + responseHeadersSize, (await answer.body()).byteLength];
  };
  const sizes = await Promise.all(files.filter(isFile).map(sizesOf));
  const [sent, raw] = [0, 1].map((at) => sizes.reduce((sum, pair) => sum + pair[at], 0));
  t.diagnostic(`${sizes.length} files of ${raw} bytes, sent as ${sent} with their heads`);
  const names = await readdir(new URL("../../static/", import.meta.url));
  const modules = names.filter((name) => name.endsWith(".js") && name !== "types.js");
  assert.ok(sizes.length >= modules.length + 3 && sizes.flat().every(Boolean));
  assert.ok(sent < 130_000, `${sent} bytes`);
});
