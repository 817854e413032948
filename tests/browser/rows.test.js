/** Rows and their details. */
import assert from "node:assert/strict";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import {
  ROWS,
  WIDTHS,
  append,
  claudeDir,
  line,
  lines,
  open,
  row,
  sees,
  serve,
  settled,
  tab,
  unproblematic,
  until,
  visit,
  write,
} from "./harness.js";

test("every type of event is a row", async (t) => {
  const { dir, page } = await open(t, lines(1));
  // At once: a file that is seen empty is a change of its own.
  await writeFile(join(dir, "new"), "{}");
  await rename(join(dir, "new"), join(dir, "stats-cache.json"));
  await sees(page, "stats-cache.json created · 2 B");
  await rm(join(dir, "history.jsonl"));
  await until(
    "a notice",
    async () => (await page.locator(`${ROWS}[data-kind=notice]`).count()) === 1,
  );
  unproblematic(page);
});

test("open rows show the line as it is spelled, and stay open while others arrive", async (t) => {
  const odd =
    '{"display":"odd","n":12345678901234567890123,"__proto__":{"z":1,"a":[]},"timestamp":1787600000001}';
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
  assert.ok(
    await node.evaluate(
      (detail) => detail.isConnected && detail.previousElementSibling.textContent.includes("odd"),
    ),
  );
  for (const count of [1, 2, 1]) {
    await row(page, "odd").click();
    assert.equal(await page.locator("tr.detail").count(), count);
  }
  unproblematic(page);
});

test("JSON can be folded, and long strings and texts are cut until a click", async (t) => {
  const pasted = {
    1: { id: 1, type: "text", content: "first\nsecond" },
    2: { id: 2, type: "text", contentHash: "9f1c0a77b3e2d415" },
    3: null,
    4: 7,
  };
  const { page } = await open(t, [
    line("see [Pasted text #1 +2 lines]", {
      pastedContents: pasted,
      long: "x".repeat(5_000),
      many: Array.from({ length: 300 }, (_, at) => at),
    }),
  ]);
  await page.locator(ROWS).first().click();
  const detail = page.locator("tr.detail");
  assert.equal(await detail.locator("pre").first().innerText(), "first\nsecond");
  assert.match(
    await detail.locator("pre").nth(1).innerText(),
    /paste-cache\/9f1c0a77b3e2d415\.txt/,
  );
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
  // It says so for a moment only.
  await Promise.all([
    page.getByText("Copied").waitFor(),
    page.getByText("Copy raw line").click(),
  ]);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
  await page.getByText("Copy JSON").click();
  await until(
    "the JSON",
    async () =>
      (await page.evaluate(() => navigator.clipboard.readText())) ===
      '{\n  "display": "copy me",\n  "big": 12345678901234567890\n}',
  );
  unproblematic(page);
});

test("a prompt and the command that resumes its session can be copied if they exist", async (t) => {
  const texts = [
    '{"cut',
    line("no session", { sessionId: undefined }),
    line("see [Pasted text #1 +1 lines]", {
      project: "/it's",
      sessionId: "abc",
      pastedContents: { 1: { content: "this" } },
    }),
  ];
  const { page } = await open(t, texts, { permissions: ["clipboard-read", "clipboard-write"] });
  await page.$$eval(`${ROWS} .open`, (buttons) => buttons.forEach((button) => button.click()));
  const labels = await page.$$eval(".actions", (all) =>
    all.map((actions) => Array.from(actions.children, ({ textContent }) => textContent)),
  );
  const [prompt, resume, ...rest] = labels[0];
  assert.deepEqual(labels, [
    ["Copy prompt", "Copy resume command", "Copy raw line", "Copy JSON"],
    [prompt, ...rest],
    [rest[0]],
  ]);
  for (const [label, text] of [
    [prompt, "see this"],
    [resume, "cd '/it'\\''s' && claude --resume abc"],
  ]) {
    await page.locator("#live-view").getByText(label).first().click();
    await until(
      label,
      async () => (await page.evaluate(() => navigator.clipboard.readText())) === text,
    );
  }
  unproblematic(page);
});

test("an open row marks invisible characters in all its texts, and copies the original", async (t) => {
  const odd = "evil\u202Egnp.exe";
  const text = line(`a\nb\nc\n\`${odd}\`\n[Pasted text #1]`, {
    pastedContents: { 1: { content: `${odd}\u001b[31m` } },
    project: `/p/${odd}`,
    [odd]: `password=${odd}9`,
  });
  const { page } = await open(t, [text], { permissions: ["clipboard-read", "clipboard-write"] });
  await page.locator(`${ROWS} .open`).click();
  const detail = page.locator("tr.detail");
  for (const secret of await detail.locator(".secret").all()) await secret.click();
  for (const place of [".facts", ".whole", "pre", ".json .key", ".json .string"])
    assert.ok(
      (await detail.locator(`${place} .invisible`, { hasText: "U+202e" }).count()) > 0,
      place,
    );
  assert.doesNotMatch(await page.locator("body").innerText(), /[\u202E\u001B]/);
  assert.ok(
    !(await page.locator(`${ROWS} .pick`).first().getAttribute("title")).includes("\u202E"),
  );
  await page.getByText("Copy raw line").click();
  await until(
    "the raw line",
    async () => (await page.evaluate(() => navigator.clipboard.readText())) === text,
  );
  unproblematic(page);
});

test("rows tell the kinds of lines apart", async (t) => {
  const { page } = await open(t, [
    line("a\nb\nc\nd\ne"),
    line("/clear "),
    line("! ls"),
    '{"display":"cut',
    line("old one", { sessionId: undefined }),
    line("and `code` with [Image #1]"),
  ]);
  const kinds = await page.$$eval(ROWS, (rows) => rows.map(({ dataset }) => dataset.kind));
  assert.deepEqual(kinds, ["prompt", "prompt", "broken", "shell", "command", "prompt"]);
  assert.deepEqual(await page.locator(".chip, .said code").allTextContents(), ["code", "Image #1"]);
  assert.match(await page.locator(ROWS).last().innerText(), /a\nb\nc\s*\+2 lines/);
  assert.match(await page.locator(`${ROWS}[data-kind=broken] .why`).innerText(), /line 1 column/);
  assert.deepEqual(
    await page.$$eval(`${ROWS}[data-joined] .said`, (nodes) =>
      nodes.map((node) => node.textContent),
    ),
    ["/clear", "a\nb\nc"],
  );
});

test("secrets are masked in rows and in JSON until a click", async (t) => {
  const key = `sk-ant-${"a1B2".repeat(8)}`;
  const { page } = await open(t, [
    line(`use ${key} please`, { authToken: "not-of-a-known-shape" }),
  ]);
  await page.locator(ROWS).click({ position: { x: 5, y: 5 } });
  assert.ok(
    !(await page.content()).includes(key) &&
      !(await page.content()).includes("not-of-a-known-shape"),
  );
  await page.locator(`${ROWS} .secret`).click();
  await sees(page, `use ${key} please`);
  assert.equal(await page.locator("tr.detail .secret").count(), 2);
  await page.locator("tr.detail .secret").last().press("Enter");
  await page.locator("tr.detail", { hasText: "not-of-a-known-shape" }).waitFor();
  assert.equal(await page.locator("tr.detail").count(), 1);
  unproblematic(page);
});

test("projects of one name are told apart by their folders", async (t) => {
  const { dir, page } = await open(
    t,
    ["/work/app", "/home/app", "/home/other"].map((project) => line("x", { project })),
  );
  assert.deepEqual(await page.locator("#live-project option").allTextContents(), [
    "All projects",
    "other",
    "home/app",
    "work/app",
  ]);
  const named = () => page.locator(`${ROWS} .pick[data-pick=project]`).allTextContents();
  assert.deepEqual(await named(), ["other", "home/app", "work/app"]);
  await append(dir, line("x", { project: "/work/other" }));
  await settled(page, 4);
  assert.deepEqual(await named(), ["work/other", "home/other", "home/app", "work/app"]);
});

test("rows of one session are joined only within one project", async (t) => {
  const { page } = await open(t, [line("a"), line("b"), line("c", { project: "/elsewhere" })]);
  assert.deepEqual(await page.locator(`${ROWS}[data-joined] .said`).allTextContents(), ["a"]);
});

test("counts of one are singular, and an empty prompt has a text", async (t) => {
  const { page } = await open(t, [line("")]);
  await sees(page, "(empty prompt)");
  const totals = await page.locator(".shape dt").allTextContents();
  assert.deepEqual(totals, ["prompt today", "session today", "project today"]);
});

test("an opened row comes into view, its head first", async (t) => {
  const { page } = await open(t, [...lines(60), line("tall\n".repeat(200)), ...lines(60, "short")]);
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    for (const [text, isTall] of [
      ["short 5", false],
      ["short 0", false],
      ["tall\ntall\ntall", true],
    ]) {
      const head = row(page, text);
      await head.evaluate((tr) =>
        scrollBy(0, tr.getBoundingClientRect().bottom - innerHeight + 45),
      );
      await head.locator(".open").evaluate((button) => button.focus({ preventScroll: true }));
      await page.keyboard.press("Enter");
      await page.locator("tr.detail").waitFor();
      const [top, end, floor, ceiling] = await head.evaluate((tr) => [
        tr.getBoundingClientRect().top,
        tr.nextElementSibling.getBoundingClientRect().bottom,
        innerHeight,
        document.querySelector(".tools").getBoundingClientRect().bottom,
      ]);
      assert.ok(
        top >= ceiling - 1 && (isTall || end <= floor - (width > 768 ? 30 : 0)),
        `${text} at ${width} px: ${top} to ${end}, within ${ceiling} to ${floor}`,
      );
      await page.keyboard.press("Enter");
      await page.locator("tr.detail").waitFor({ state: "detached" });
    }
  }
  unproblematic(page);
});

test("secrets are masked again when their row closes", async (t) => {
  const key = `sk-ant-${"a1B2".repeat(8)}`;
  const { page } = await open(t, [line(`use ${key} please`)]);
  await page.locator(`${ROWS} .open`).click();
  await page.locator(`${ROWS} .secret`).click();
  await page.locator("tr.detail .secret").click();
  assert.equal((await page.content()).split(key).length, 3);
  await page.locator(`${ROWS} .open`).click();
  assert.ok(!(await page.content()).includes(key));
  await page.locator(`${ROWS} .open`).click();
  await page.locator(`${ROWS} .secret`).press("Enter");
  assert.ok((await page.content()).includes(key));
  await page.keyboard.press("Escape");
  assert.ok(!(await page.content()).includes(key));
  const focused = await page.evaluate(() => document.activeElement.className);
  assert.deepEqual([focused, await page.locator("tr.detail").count()], ["open", 0]);
  unproblematic(page);
});

test("the row of a changed file names a change, and the open row all of them", async (t) => {
  const dir = await claudeDir(t);
  const file = join(dir, "stats-cache.json");
  const content = { totalSessions: 61, messages: [1, 2], apiKey: "abcdef", last: "a" };
  await writeFile(file, JSON.stringify(content));
  await write(dir, line("one"));
  const server = await serve(t, dir);
  const page = await tab(await visit(t), server.url);
  const next = { totalSessions: 62, messages: [1, 3], apiKey: "ghijkl", new: true };
  await writeFile(join(dir, "new"), JSON.stringify(next));
  await rename(join(dir, "new"), file);
  const changed = page.locator(`${ROWS}[data-kind=file]`);
  await changed.locator(".said", { hasText: "and 4 more" }).waitFor();
  assert.match(
    await changed.innerText(),
    /stats-cache\.json modified · \d+ B · .+ → .+, and 4 more/,
  );
  await changed.locator(".open").click();
  const shown = await page.locator(".changes li").allTextContents();
  assert.deepEqual(shown.sort(), [
    "apiKey •••••• → ••••••",
    'last "a" → absent',
    "messages/1 2 → 3",
    "new absent → true",
    "totalSessions 61 → 62",
  ]);
  assert.ok(!/abcdef|ghijkl/.test(await page.content()));
  await page.locator(".changes .secret").last().click();
  await page.locator(".changes", { hasText: '"ghijkl"' }).waitFor();
  unproblematic(page);
});

test("sessions and projects that are on the screen together have different colours", async (t) => {
  const far = (at) => ({
    project: `/home/demo/project-${at % 8}`,
    sessionId: `${at}0b6f3c52-1111`,
  });
  const texts = Array.from({ length: 48 }, (_, at) => line(`prompt ${at}`, far(at % 16)));
  const { dir, page, context, server } = await open(t, texts);
  const colors = (other) =>
    other.$$eval(`${ROWS} .pick`, (nodes) =>
      Object.fromEntries(nodes.map((node) => [node.title, getComputedStyle(node).color])),
    );
  const before = await colors(page);
  assert.deepEqual([Object.keys(before).length, new Set(Object.values(before)).size], [24, 24]);
  await append(dir, ...Array.from({ length: 40 }, (_, at) => line(`more ${at}`, far(100 + at))));
  await sees(page, "more 39");
  const after = await colors(page);
  for (const [name, color] of Object.entries(before)) assert.equal(after[name], color, name);
  const again = await colors(await tab(context, server.url));
  assert.deepEqual(again, after);
  const borders = await page.$$eval(ROWS, (rows) => rows.map((row) => row.style.cssText));
  assert.ok(borders.every(Boolean));
  unproblematic(page);
});

test("at 390 px all prompts begin at one edge", async (t) => {
  const other = { project: "/elsewhere", sessionId: "77777777-2222" };
  const bare = { project: undefined, sessionId: undefined };
  const texts = [...lines(3), line("/clear ", other), line("x", other), line("y", bare)];
  const { page } = await open(t, texts, { width: 390 });
  const edges = await page.$$eval(`${ROWS} .said`, (nodes) =>
    nodes.map((node) => node.getBoundingClientRect().left),
  );
  assert.deepEqual([edges.length, new Set(edges).size], [6, 1]);
});
