/** What a person does on the page: read, open, find, pause. */
import assert from "node:assert/strict";
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { ROWS, WIDTHS, append, claudeDir, ids, inState, line, lines, open, said, sees, serve, settled, tab, unproblematic, until, visit, write } from "./harness.js";

const row = (page, text) => page.locator(ROWS).filter({ has: page.locator(".said", { hasText: new RegExp(`^${text}$`) }) });

test("the backlog is there, newest on top, and a new line is a row within two seconds", async (t) => {
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

test("the other types of events are rows too", async (t) => {
  const { dir, page } = await open(t, lines(1));
  await writeFile(join(dir, "stats-cache.json"), "{}");
  await sees(page, "stats-cache.json created · 2 B");
  await rm(join(dir, "history.jsonl"));
  await until("a notice", async () => (await page.locator(`${ROWS}[data-kind=notice]`).count()) === 1);
  unproblematic(page);
});

test("an empty page says what it waits for, and shows the first prompt without reload", async (t) => {
  const { dir, page } = await open(t, null);
  await page.locator("#live-empty h2").filter({ hasText: "history.jsonl" }).waitFor();
  assert.match(await page.textContent("#live-status"), /is not there yet/);
  await write(dir, line("the first"));
  await sees(page, "the first");
  await page.locator("#live-empty").waitFor({ state: "hidden" });
  unproblematic(page);
});

test("open rows show the line as it is spelled and stay open while others arrive", async (t) => {
  const odd = '{"display":"odd","n":12345678901234567890123,"__proto__":{"z":1,"a":[]},"timestamp":1787600000001}';
  const { dir, page } = await open(t, [line("one"), odd, line("two")]);
  await row(page, "odd").click();
  await row(page, "two").locator(".open").click();
  assert.equal(await page.locator("tr.detail").count(), 2);
  const shown = await page.locator("tr.detail").nth(1).locator(".json").innerText();
  assert.match(shown, /"n": 12345678901234567890123,/);
  assert.match(shown, /"__proto__": \{\s+"z": 1,\s+"a": \[\]\s+\},/);
  const node = await page.locator("tr.detail").nth(1).elementHandle();
  await append(dir, ...lines(30, "later"));
  await sees(page, "later 29");
  assert.equal(await page.locator("tr.detail").count(), 2);
  assert.ok(await node.evaluate((detail) => detail.isConnected && detail.previousElementSibling.textContent.includes("odd")));
  for (const count of [1, 2, 1]) {
    await row(page, "odd").click();
    assert.equal(await page.locator("tr.detail").count(), count);
  }
  unproblematic(page);
});

test("JSON can be folded, long strings and pasted texts are cut until asked for", async (t) => {
  const pasted = { 1: { id: 1, type: "text", content: "first\nsecond" }, 2: { id: 2, type: "text", contentHash: "9f1c0a77b3e2d415" }, 3: null, 4: 7 };
  const { page } = await open(t, [line("see [Pasted text #1 +2 lines]", { pastedContents: pasted, long: "x".repeat(5_000), many: Array.from({ length: 300 }, (_, at) => at) })]);
  await page.locator(ROWS).first().click();
  const detail = page.locator("tr.detail");
  assert.equal(await detail.locator("pre").first().innerText(), "first\nsecond");
  assert.match(await detail.locator("pre").nth(1).innerText(), /paste-cache\/9f1c0a77b3e2d415\.txt/);
  await detail.getByText("show all 5,002 characters").click();
  assert.ok((await detail.locator(".json").innerText()).includes("x".repeat(5_000)));
  await detail.getByText("show all 300").click();
  await detail.locator(".number", { hasText: /^299$/ }).waitFor();
  await detail.locator("summary", { hasText: "pastedContents" }).click();
  await detail.locator(".key", { hasText: '"contentHash"' }).waitFor({ state: "hidden" });
  unproblematic(page);
});

test("the raw line and the JSON can be copied", async (t) => {
  const text = '{"display":"copy me","big":12345678901234567890}';
  const { page } = await open(t, [text], { permissions: ["clipboard-read", "clipboard-write"] });
  await page.locator(ROWS).first().click();
  await page.getByText("Copy raw line").click();
  await page.getByText("Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
  await page.getByText("Copy JSON").click();
  await until("the JSON", async () => (await page.evaluate(() => navigator.clipboard.readText())) === '{\n  "display": "copy me",\n  "big": 12345678901234567890\n}');
  unproblematic(page);
});

test("the prompt and the command that resumes its session can be copied, where they are there", async (t) => {
  const texts = ["{\"cut", line("no session", { sessionId: undefined }), line("see [Pasted text #1 +1 lines]", { project: "/it's", sessionId: "abc", pastedContents: { 1: { content: "this" } } })];
  const { page } = await open(t, texts, { permissions: ["clipboard-read", "clipboard-write"] });
  await page.$$eval(`${ROWS} .open`, (buttons) => buttons.forEach((button) => button.click()));
  const labels = await page.$$eval(".actions", (all) => all.map((actions) => Array.from(actions.children, ({ textContent }) => textContent)));
  const [prompt, resume, ...rest] = labels[0];
  assert.deepEqual(labels, [["Copy prompt", "Copy resume command", "Copy raw line", "Copy JSON"], [prompt, ...rest], [rest[0]]]);
  for (const [label, text] of [[prompt, "see this"], [resume, "cd '/it'\\''s' && claude --resume abc"]]) {
    await page.getByText(label).first().click();
    await until(label, async () => (await page.evaluate(() => navigator.clipboard.readText())) === text);
  }
  unproblematic(page);
});

test("an open row marks what does not show in all its texts, and copies the true ones", async (t) => {
  const odd = "evil\u202Egnp.exe";
  const text = line(`a\nb\nc\n\`${odd}\`\n[Pasted text #1]`, { pastedContents: { 1: { content: `${odd}\u001b[31m` } }, project: `/p/${odd}`, [odd]: `password=${odd}9` });
  const { page } = await open(t, [text], { permissions: ["clipboard-read", "clipboard-write"] });
  await page.locator(`${ROWS} .open`).click();
  const detail = page.locator("tr.detail");
  for (const secret of await detail.locator(".secret").all()) await secret.click();
  for (const place of [".facts", ".whole", "pre", ".json .key", ".json .string"]) assert.ok((await detail.locator(`${place} .odd`, { hasText: "U+202e" }).count()) > 0, place);
  assert.doesNotMatch(await page.locator("body").innerText(), /[\u202E\u001B]/);
  assert.ok(!(await page.locator(`${ROWS} .pick`).first().getAttribute("title")).includes("\u202E"));
  await page.getByText("Copy raw line").click();
  await until("the raw line", async () => (await page.evaluate(() => navigator.clipboard.readText())) === text);
  unproblematic(page);
});

test("prompts read as what they are", async (t) => {
  const { page } = await open(t, [line("a\nb\nc\nd\ne"), line("/clear "), line("! ls"), '{"display":"cut', line("old one", { sessionId: undefined }), line("and `code` with [Image #1]")]);
  const kinds = await page.$$eval(ROWS, (rows) => rows.map(({ dataset }) => dataset.kind));
  assert.deepEqual(kinds, ["prompt", "prompt", "broken", "shell", "command", "prompt"]);
  assert.deepEqual(await page.locator(".chip, .said code").allTextContents(), ["code", "Image #1"]);
  assert.match(await page.locator(ROWS).last().innerText(), /a\nb\nc\s*\+2 lines/);
  assert.match(await page.locator(`${ROWS}[data-kind=broken] .why`).innerText(), /line 1 column/);
  assert.deepEqual(await page.$$eval(`${ROWS}[data-joined] .said`, (nodes) => nodes.map((node) => node.textContent)), ["/clear", "a\nb\nc"]);
});

test("what looks like a secret is masked in rows and in open JSON until it is clicked", async (t) => {
  const key = `sk-ant-${"a1B2".repeat(8)}`;
  const { page } = await open(t, [line(`use ${key} please`, { authToken: "not-of-a-known-shape" })]);
  await page.locator(ROWS).click({ position: { x: 5, y: 5 } });
  assert.ok(!(await page.content()).includes(key) && !(await page.content()).includes("not-of-a-known-shape"));
  await page.locator(`${ROWS} .secret`).click();
  await sees(page, `use ${key} please`);
  assert.equal(await page.locator("tr.detail .secret").count(), 2);
  await page.locator("tr.detail .secret").last().press("Enter");
  await page.locator("tr.detail", { hasText: "not-of-a-known-shape" }).waitFor();
  assert.equal(await page.locator("tr.detail").count(), 1);
  unproblematic(page);
});

test("search and filters narrow the rows, are in the address, and come back with it", async (t) => {
  const other = { project: "/home/demo/beta", sessionId: "77777777-2222-4a7e-9c11-3f1f0a2b0002" };
  const { dir, page, context } = await open(t, [...lines(5), ...["one", "two", "three", "four", "five"].map((text) => line(`question ${text}`, other)), line("/clear ", other)]);
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

test("what is searched for is marked where it shows, and nothing once it is not", async (t) => {
  const secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789";
  const { dir, page } = await open(t, [line("an İ before question"), line("Question? a question!"), line(`question ${secret}`)]);
  const marked = () => page.evaluate(() => Array.from(CSS.highlights.get("found"), ({ startContainer, startOffset, endOffset }) => startContainer.data.slice(startOffset, endOffset)));
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

test("what is searched for is marked in the details too, once they are unfolded", async (t) => {
  const deep = JSON.stringify({ ...JSON.parse(line("deep")), a: { b: { c: { d: { e: "the needle" } } } } });
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

test("a paused page counts what waits, and shows it when it goes on", async (t) => {
  const { dir, page } = await open(t, lines(3));
  await page.keyboard.press("p");
  await append(dir, ...lines(7, "later"));
  await page.locator("#claude-live-pause", { hasText: "7 waiting" }).waitFor();
  assert.equal(await page.locator(ROWS).count(), 3);
  await page.click("#claude-live-pause");
  await settled(page, 10);
  assert.equal(await page.textContent("#claude-live-pause"), "Pause");
});

test("a paused page loses what is purged at once, and nothing else changes until it goes on", async (t) => {
  const texts = lines(5);
  const { dir, server, page } = await open(t, texts);
  await page.click("#claude-live-pause");
  await page.locator(ROWS).first().click();
  await write(dir, ...texts.slice(0, 4));
  await until("that the purged prompt leaves", async () => !(await page.content()).includes("prompt 4"));
  assert.deepEqual(await said(page), ["prompt 3", "prompt 2", "prompt 1", "prompt 0"]);
  assert.equal(await page.textContent("#claude-live-pause"), "Resume · 1 waiting");
  await server.stop();
  await inState(page, "reconnecting");
  await write(dir, ...texts.slice(0, 3), ...lines(2, "after"));
  await serve(t, dir, { port: server.port });
  await inState(page, "live");
  await page.locator("#claude-live-pause", { hasText: "waiting" }).waitFor();
  await append(dir, line("last"));
  await until("all that waits is counted", async () => (await page.textContent("#claude-live-pause")) === "Resume · 5 waiting");
  assert.deepEqual(await said(page), ["prompt 2", "prompt 1", "prompt 0"]);
  await page.click("#claude-live-pause");
  await sees(page, "last");
  const notice = "claude-live was restarted or far ahead; the rows are up to date";
  assert.deepEqual((await said(page)).filter((text) => !text.startsWith("the history file was")), ["last", notice, "after 1", "after 0", "prompt 2", "prompt 1", "prompt 0"]);
  unproblematic(page);
});

test("a history that is rewritten while paused does not hide older prompts for good", async (t) => {
  const texts = lines(400);
  const { dir, page } = await open(t, texts);
  await page.click("#claude-live-pause");
  await write(dir, ...texts.slice(1, -1));
  await settled(page, 199);
  assert.equal(await page.textContent("#claude-live-pause"), "Resume · 1 waiting");
  await page.fill("#claude-live-search", '"prompt 7"');
  await sees(page, "prompt 7");
  await page.fill("#claude-live-search", "");
  await page.click("#claude-live-pause");
  await settled(page, 399);
  unproblematic(page);
});

test("a history that cannot be read is told of above the rows and in their place, until it can", async (t) => {
  const dir = await claudeDir(t);
  await mkdir(join(dir, "history.jsonl"));
  const server = await serve(t, dir);
  const page = await tab(await visit(t), server.url);
  const words = `Cannot read ${join(dir, "history.jsonl")}: is a directory, not a file`;
  await page.locator("#live-banner", { hasText: words }).waitFor();
  await page.locator("#live-empty h2", { hasText: words }).waitFor();
  assert.match(await page.getAttribute("#live-icon", "href"), /favicon-off/);
  await rm(join(dir, "history.jsonl"), { recursive: true });
  await write(dir, line("readable"));
  await sees(page, "readable");
  await page.locator("#live-banner").waitFor({ state: "hidden" });
  unproblematic(page);
});

test("the badge stays in sight further down, at every width", async (t) => {
  const { page } = await open(t, lines(100));
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    await page.locator(ROWS).last().scrollIntoViewIfNeeded();
    const { y, height } = await page.locator("#claude-live-conn").boundingBox();
    assert.ok(y >= 0 && y + height < 800, `${width} px: at ${y}`);
  }
});

test("a search finds older events than the page began with", async (t) => {
  const { page, context } = await open(t, [line("the first"), ...lines(400)]);
  await page.fill("#claude-live-search", '"the first"');
  await sees(page, "the first");
  const again = await tab(context, page.url());
  await sees(again, "the first");
  await page.fill("#claude-live-search", "");
  await settled(page, 401);
  unproblematic(page, again);
});

test("projects of one name are told apart by the folder they are in", async (t) => {
  const { dir, page } = await open(t, ["/work/app", "/home/app", "/home/other"].map((project) => line("x", { project })));
  assert.deepEqual(await page.locator("#live-project option").allTextContents(), ["All projects", "other", "home/app", "work/app"]);
  const named = () => page.locator(`${ROWS} .pick[data-pick=project]`).allTextContents();
  assert.deepEqual(await named(), ["other", "home/app", "work/app"]);
  await append(dir, line("x", { project: "/work/other" }));
  await settled(page, 4);
  assert.deepEqual(await named(), ["work/other", "home/other", "home/app", "work/app"]);
});

test("rows of one session are joined within one project only", async (t) => {
  const { page } = await open(t, [line("a"), line("b"), line("c", { project: "/elsewhere" })]);
  assert.deepEqual(await page.locator(`${ROWS}[data-joined] .said`).allTextContents(), ["a"]);
});

test("small numbers and missing words read well", async (t) => {
  const { page } = await open(t, [line("")]);
  await sees(page, "(empty prompt)");
  const totals = await page.locator(".shape dt").allTextContents();
  assert.deepEqual(totals, ["prompt today", "session today", "project today"]);
});

test("reading further down is not disturbed: a button says how many are new", async (t) => {
  const { dir, page } = await open(t, lines(100));
  await page.locator(ROWS).nth(60).scrollIntoViewIfNeeded();
  const place = await page.locator(ROWS).nth(60).boundingBox();
  await until("that reading is noticed", async () => {
    await append(dir, line("later"));
    return page.locator("#live-new").isVisible();
  });
  assert.match(await page.textContent("#live-new"), /^\d+ new$/);
  const rows = await page.locator(ROWS).count();
  assert.deepEqual(await page.locator(ROWS).nth(60 + rows - 100).boundingBox(), place);
  await page.click("#live-new");
  await until("the newest row on top", async () => (await said(page))[0] === "later" && (await page.evaluate(() => scrollY)) === 0);
  await page.locator("#live-new").waitFor({ state: "hidden" });
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

test("no more than 500 rows, and older events when they are asked for", async (t) => {
  const yesterday = Date.now() - 86_400_000;
  const { page } = await open(t, lines(1_200, "old", { timestamp: yesterday }));
  await settled(page, 200);
  await page.press("#live-older", "Enter");
  await settled(page, 1_000);
  assert.equal(await page.locator("#live-older").isVisible(), false);
  assert.match(await page.textContent("main > p:not([hidden]).note"), /^The server keeps the newest 1,000 events; older prompts are only in the file\.$/);
  unproblematic(page);
});

test("what is all there has no older events, and no word about a file that has more", async (t) => {
  const { page, server, context } = await open(t, lines(200));
  await settled(page, 200);
  await page.press("#live-older", "Enter");
  await page.locator("#live-older").waitFor({ state: "hidden" });
  const gone = await tab(context, `${server.url}#project=/gone`);
  await gone.locator("#live-empty", { hasText: "Nothing matches" }).waitFor();
  await gone.locator("#live-older").waitFor({ state: "hidden" });
  for (const one of [page, gone]) assert.equal(await one.locator("main > .note").isVisible(), false);
  unproblematic(page, gone);
});

test("between 200 and 500 rows older events are offered once there are any", async (t) => {
  const { page } = await open(t, lines(600));
  await page.fill("#claude-live-search", "prompt");
  await settled(page, 500);
  assert.ok(await page.locator("#live-older").isVisible());
  await page.fill("#claude-live-search", "nothing like this");
  await page.locator("#live-older").waitFor({ state: "hidden" });
  await page.fill("#claude-live-search", "prompt");
  await page.press("#live-older", "Enter");
  await settled(page, 600);
  await page.locator("#live-older").waitFor({ state: "hidden" });
});

test("the day's totals and the last hour come from all events held", async (t) => {
  const now = Date.now();
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  const { page } = await open(t, [...lines(300, "today", { timestamp: Math.max(midnight, now - 1_000) }), line("b", { project: "/b", sessionId: "b" })]);
  await until("all prompts of today", async () => /^301\+?$/.test(await page.textContent("#live-prompts")));
  assert.equal(await page.textContent("#live-projects"), "2");
  await page.locator("#live-chart .readout", { hasText: "last hour: 301 prompts" }).waitFor();
  await page.focus("#live-chart");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowRight");
  assert.match(await page.getAttribute("#live-chart", "aria-valuetext"), /301 prompts · alpha 300 · b 1|prompts/);
  await page.keyboard.press("Enter");
  assert.ok(await page.evaluate(() => document.activeElement.matches(".open")));
});

test("a pointer on the chart tells a minute's numbers, and a click goes to its rows", async (t) => {
  const half = Date.now() - 30 * 60_000;
  const { page } = await open(t, [...lines(60, "older", { timestamp: half }), ...lines(60, "newer")]);
  const bar = page.locator("#live-chart g:has(.bar)").first();
  const { x, y } = await bar.boundingBox();
  await page.mouse.move(x + 3, y + 3);
  await page.locator("#live-chart .readout", { hasText: /: 60 prompts · alpha 60$/ }).waitFor();
  await page.mouse.click(x + 3, y + 3);
  assert.equal(await page.evaluate(() => document.activeElement.closest("tr").querySelector(".said").textContent), "older 59");
  await page.mouse.move(0, 0);
  await page.locator("#live-chart .readout", { hasText: "last hour: 120 prompts" }).waitFor();
});

test("everything is done by keyboard, and the focus is never lost", async (t) => {
  const { dir, page } = await open(t, lines(10));
  const focused = () => page.evaluate(() => document.activeElement.closest("tr")?.querySelector(".said").textContent);
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

test("what is opened comes into view, below its row's head", async (t) => {
  const { page } = await open(t, [...lines(60), line("tall\n".repeat(200)), ...lines(60, "short")]);
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    for (const [text, isTall] of [["short 5", false], ["short 0", false], ["tall\ntall\ntall", true]]) {
      const head = row(page, text);
      await head.evaluate((tr) => scrollBy(0, tr.getBoundingClientRect().bottom - innerHeight + 45));
      await head.locator(".open").evaluate((button) => button.focus({ preventScroll: true }));
      await page.keyboard.press("Enter");
      await page.locator("tr.detail").waitFor();
      const [top, end, floor, ceiling] = await head.evaluate((tr) => [tr.getBoundingClientRect().top, tr.nextElementSibling.getBoundingClientRect().bottom, innerHeight, document.querySelector(".tools").getBoundingClientRect().bottom]);
      assert.ok(top >= ceiling - 1 && (isTall || end <= floor - (width > 768 ? 30 : 0)), `${text} at ${width} px: ${top} to ${end}, within ${ceiling} to ${floor}`);
      await page.keyboard.press("Enter");
      await page.locator("tr.detail").waitFor({ state: "detached" });
    }
  }
  unproblematic(page);
});

test("Escape closes the open row that has the focus, and then the search", async (t) => {
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
  assert.equal(await page.evaluate(() => document.activeElement.closest("tr").querySelector(".said").textContent), "prompt 2");
  await page.keyboard.press("Escape");
  await settled(page, 5);
  assert.equal(await page.locator("tr.detail").count(), 1);
  unproblematic(page);
});

test("Tab reaches the tools, the rows that are open, and nothing twice", async (t) => {
  const { page } = await open(t, lines(50));
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  const stops = [];
  for (let at = 0; at < 25; at += 1) {
    await page.keyboard.press("Tab");
    stops.push(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent.slice(0, 20)));
  }
  for (const stop of ["Live", "live-chart", "claude-live-search", "live-kind", "claude-live-pause", "Copy prompt", "Copy resume command", "Copy raw line", "Copy JSON"]) assert.ok(stops.includes(stop), `${stop} in ${stops}`);
});

test("a hidden tab counts what is new in its title and marks where one was", async (t) => {
  const { dir, page } = await open(t, lines(3, "prompt", { timestamp: Date.now() - 120_000 }));
  const hide = (hidden) => page.evaluate((hidden) => {
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

test("the next visit begins with a mark where the last one ended, if it is a minute later", async (t) => {
  const { dir, page, context, server } = await open(t, lines(3, "prompt", { timestamp: Date.now() - 120_000 }));
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

test("a notification comes for a new prompt that fits the filter, once it is asked for", async (t) => {
  const { dir, page } = await open(t, lines(1), { permissions: ["notifications"], hash: "#q=wanted" });
  await page.evaluate(() => {
    globalThis.told = [];
    globalThis.Notification = class {
      static permission = "granted";
      static requestPermission = async () => "granted";
      constructor(title, { body }) {
        globalThis.told.push(`${title}: ${body}`);
      }
    };
    document.hasFocus = () => false;
  });
  await append(dir, line("wanted before"));
  await sees(page, "wanted before");
  await page.click("#live-notify");
  assert.equal(await page.getAttribute("#live-notify", "aria-pressed"), "true");
  await append(dir, line("other"), line("wanted password=hunter2"));
  await until("a notification", () => page.evaluate(() => globalThis.told.length > 0));
  assert.deepEqual(await page.evaluate(() => globalThis.told), ["alpha: wanted password=••••"]);
});

test("a browser that allows no notifications is not asked in vain without a word", async (t) => {
  const { page } = await open(t, lines(1));
  await page.evaluate(() => (Notification.requestPermission = async () => "denied"));
  await page.click("#live-notify");
  await page.locator("#live-notify", { hasText: "the browser said no" }).waitFor();
  assert.equal(await page.getAttribute("#live-notify", "aria-pressed"), "false");
});

test("the quiet line says what is followed and how far", async (t) => {
  const { dir, page } = await open(t, [line("a"), "no json"]);
  const status = page.locator("#live-status");
  await status.filter({ hasText: "1 malformed" }).waitFor();
  const { size } = await stat(join(dir, "history.jsonl"));
  const shown = await status.innerText();
  assert.ok(shown.includes(`${join(dir, "history.jsonl")} ${size} B of ${size} B read`), shown);
  assert.match(shown, /2 rows shown/);
  assert.doesNotMatch(shown, /too long/);
});

test("the quiet line says when something last happened, whatever the newest line says", async (t) => {
  const now = Date.now();
  const texts = ["no time", line("recent", { timestamp: now - 3 * 3_600_000 }), line("tomorrow", { timestamp: now + 86_400_000 }), line("old", { timestamp: now - 400 * 86_400_000 })];
  const { page, dir } = await open(t, texts);
  const status = page.locator("#live-status");
  await status.filter({ hasText: "last event 3h ago" }).waitFor();
  await append(dir, line("older still", { timestamp: now - 500 * 86_400_000 }));
  await status.filter({ hasText: "last event now" }).waitFor();
});

test("the page weighs under 60 KB", async (t) => {
  const { url } = await serve(t, await claudeDir(t));
  const names = ["", ...(await readdir(new URL("../../static/", import.meta.url))).map((name) => `static/${name}`)];
  const sizes = await Promise.all(names.filter((name) => !name.endsWith(".html")).map(async (name) => (await (await fetch(url + name)).arrayBuffer()).byteLength));
  const total_bytes = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(sizes.every(Boolean) && total_bytes < 60_000, `${total_bytes} bytes`);
});
