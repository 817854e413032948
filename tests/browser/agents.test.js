/** The Sessions view under load, with hostile texts, in both themes, and its notifications. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";

import { Claude } from "./claude.js";
import { PATIENCE_MS, claudeDir, serve, tab, unproblematic, until, visit } from "./harness.js";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LIVE = "#sessions-view .badge[data-state=live]";
const WIDTHS = [2560, 1440, 768, 390];

const HOSTILE = [
  "<img src=x onerror=\"globalThis.ran = 'img'\"><script>globalThis.ran = 'script'</script>",
  "</li></ol></main><h1>out</h1>",
  "\u202Etxet desrever \u2066isolated\u2069",
  "\u001b[31mred\u001b[0m \u0007 \u0000",
  "w".repeat(200_000),
  "Z\u0300\u0301\u0302\u0303\u0304".repeat(40),
  "👩‍👩‍👧‍👦".repeat(200),
  Array.from({ length: 5_000 }, (_, at) => `line ${at}`).join("\n"),
  "token=abcd1234efgh and sk-ant-abcdefgh12345",
  "__proto__",
];

async function start(t, dir, options = {}) {
  const server = await serve(t, dir);
  const context = await visit(t, options);
  const page = await tab(context, server.url + (options.hash ?? ""), { state: "" });
  await page.waitForSelector(LIVE);
  return { server, context, page };
}

function processes(t, count) {
  const children = Array.from({ length: count }, () => spawn("sleep", ["600"]));
  t.after(() => children.forEach((child) => child.kill()));
  return children.map(({ pid }) => pid);
}

/** Writes a session whose every text is hostile. */
async function hostile(dir, text, pid) {
  const claude = new Claude(dir, text.slice(0, 5_000), { pid, branch: text.slice(0, 200) });
  await claude.begin(text);
  await claude.say(text);
  const call = await claude.call("Agent", { description: text, prompt: text, subagent_type: text });
  const bash = await claude.call(text.slice(0, 100), { command: text });
  await claude.result(bash, text, { isError: true });
  await claude.result(call, text);
  await claude.call("AskUserQuestion", { questions: [{ question: text, header: text }] });
  await claude.status("waiting", text.slice(0, 1_000));
  return claude;
}

async function openAll(page) {
  await page.$$eval("#sessions-rows .open[aria-expanded=false]", (all) =>
    all.forEach((it) => it.click()),
  );
}

const overflow = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** Returns pairs of cards, or of parts of a card, that cover each other. */
function overlaps(page) {
  return page.evaluate(() => {
    const boxes = (selector, root = document) =>
      [...root.querySelectorAll(selector)].map((node) => [
        node.className,
        node.getBoundingClientRect(),
      ]);
    const covers = ([, a], [, b]) =>
      Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
      Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    const among = (all) =>
      all.flatMap((one, at) =>
        all
          .slice(at + 1)
          .filter((other) => covers(one, other))
          .map((other) => [one[0], other[0]]),
      );
    const parts = [...document.querySelectorAll(".card")].flatMap((card) =>
      among(boxes(".dot, .title, .state, .body", card)),
    );
    const lines = [...document.querySelectorAll("#sessions-rows .line")]
      .slice(0, 60)
      .flatMap((line) => among(boxes(":scope > *", line)));
    return [
      ...among(boxes(".card")),
      ...parts,
      ...lines,
      ...among(boxes("header > :not([hidden]), .sessions > .tools > :not([hidden])")),
    ];
  });
}

test("hostile texts change nothing but their own boxes, and nothing overlaps at four widths", async (t) => {
  const dir = await claudeDir(t);
  const pids = processes(t, HOSTILE.length);
  const all = [];
  for (const [at, text] of HOSTILE.entries()) all.push(await hostile(dir, text, pids[at]));
  const { page } = await start(t, dir);
  await until(
    "all cards",
    async () => (await page.locator(".card[data-status=waiting]").count()) === all.length,
  );
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    assert.equal(await overflow(page), 0, `${width} px`);
    assert.deepEqual(await overlaps(page), [], `${width} px`);
    const heights = await page.$$eval(".card", (cards) =>
      cards.map((it) => it.getBoundingClientRect().height),
    );
    assert.ok(Math.max(...heights) < 420, `${width} px: ${heights}`);
  }
  const text = await page.textContent("#sessions-list");
  assert.doesNotMatch(text, /abcd1234efgh|sk-ant-abcdefgh12345/);
  for (const claude of all) {
    await page.evaluate((id) => (location.hash = `#sessions&open=${id}`), claude.id);
    await page.locator("#sessions-rows [data-kind=question]").waitFor();
    await openAll(page);
    await until("all records", async () => (await page.locator(".detail summary").count()) > 0);
    assert.equal(await overflow(page), 0);
    assert.deepEqual(await overlaps(page), []);
  }
  assert.equal(await page.evaluate(() => globalThis.ran), undefined);
  assert.equal(await page.locator(".sessions :is(img, script, h1)").count(), 0);
  unproblematic(page);
});

for (const scheme of ["light", "dark"]) {
  test(`axe finds nothing in the Sessions view in the ${scheme} theme: list, session, record, telephone, empty`, async (t) => {
    const dir = await claudeDir(t);
    const pids = processes(t, 4);
    const statuses = { waiting: "permission prompt", busy: "", idle: "", shell: "" };
    let last;
    for (const [at, [status, waitingFor]] of Object.entries(statuses).entries()) {
      last = new Claude(dir, `Session ${at}`, { pid: pids[at] });
      await last.begin("prompt with password=hunter2");
      for (let count = 0; count < 3; count += 1)
        await last.result(await last.call("Read", { file_path: "/a" }), "ok");
      await last.result(await last.call("Bash", { command: "false" }), "Exit code 1", {
        isError: true,
      });
      await last.call("Agent", { description: "Find", prompt: "x", subagent_type: "Explore" });
      await last.status(status, waitingFor || undefined);
    }
    const { page, server } = await start(t, dir, { scheme, reducedMotion: "reduce" });
    const check = async (state) => {
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document));
      const found = violations.map(({ id, nodes }) => [
        id,
        ...nodes.map(({ html, any }) => `${html} ${any[0]?.message ?? ""}`),
      ]);
      assert.deepEqual(found, [], state);
    };
    await until("all cards", async () => (await page.locator(".card").count()) === 4);
    await check("list");
    assert.equal(await page.evaluate(() => document.getAnimations({ subtree: true }).length), 0);
    await page.locator(".card").last().click();
    await page.locator("#sessions-rows li").nth(3).waitFor();
    await check("session");
    await openAll(page);
    await page.locator(".detail summary").first().waitFor();
    await check("record");
    await page.click("#app-choose");
    await page.locator("#app-choices input").first().waitFor();
    await check("choices");
    await page.keyboard.press("Escape");
    await page.setViewportSize({ width: 390, height: 844 });
    await check("telephone");
    await page.fill("#sessions-search", "nothing like this");
    await page.locator("#sessions-hidden").waitFor();
    await check("filtered");
    await server.stop();
    await page.waitForSelector("#sessions-view .badge[data-state=reconnecting]");
    await check("offline");
  });
}

test("notifications name the session and open it; none at load, none of what is seen, one in 10 s", async (t) => {
  const dir = await claudeDir(t);
  const pids = processes(t, 2);
  const [one, two] = ["One", "Two"].map((title, at) => new Claude(dir, title, { pid: pids[at] }));
  for (const claude of [one, two]) {
    await claude.begin("go");
    await claude.status("busy");
  }
  await two.status("waiting", "permission prompt");
  const server = await serve(t, dir);
  const context = await visit(t, { permissions: ["notifications"] });
  await context.addInitScript(() => {
    globalThis.shown = [];
    globalThis.isFocused = false;
    document.hasFocus = () => globalThis.isFocused;
    localStorage.claudeLiveNotifies = "true";
    globalThis.Notification = class {
      static permission = "granted";
      static requestPermission = async () => "granted";
      constructor(title, { body, tag }) {
        globalThis.shown.push({ title, body, tag, click: () => this.onclick() });
      }
      close() {}
    };
  });
  const page = await tab(context, server.url, { state: "" });
  await page.waitForSelector(LIVE);
  const shown = () =>
    page.evaluate(() => globalThis.shown.map(({ title, body }) => `${title}: ${body}`));
  const shows = (claude, status) =>
    page.waitForSelector(`[data-session-id="${claude.id}"][data-status=${status}]`);
  await shows(two, "waiting");
  assert.deepEqual(await shown(), []);
  await one.call("Bash", { command: "npm ci --password=hunter2x9" });
  await one.status("waiting", "permission prompt");
  await shows(one, "waiting");
  const first = "One: Waits for you: Permission prompt: Bash npm ci --password=••••";
  await until("a notification", async () => String(await shown()) === first);
  await one.status("busy");
  await shows(one, "working");
  await one.status("waiting", "permission prompt");
  await shows(one, "waiting");
  assert.deepEqual(await shown(), [first]);
  await two.say("All done.", { stop: "end_turn" });
  await two.endTurn();
  await two.status("idle");
  await until("the other's", async () => (await shown())[1] === "Two: Finished: All done.");
  await until(
    "the one that was put off",
    async () => (await shown()).length === 3,
    2 * PATIENCE_MS,
  );
  assert.equal((await shown())[2], first);
  await page.evaluate(() => globalThis.shown[1].click());
  await page.locator("#sessions-title", { hasText: "Two" }).waitFor();
  await page.evaluate(() => (globalThis.isFocused = true));
  await two.status("busy");
  await shows(two, "working");
  await two.status("waiting", "permission prompt");
  await shows(two, "waiting");
  assert.equal((await shown()).length, 3);
  unproblematic(page);
});

test("100 sessions at 50 records a second: renders are few and the heap is flat", async (t) => {
  const dir = await claudeDir(t);
  const all = Array.from({ length: 100 }, (_, at) => new Claude(dir, `Session ${at}`));
  for (const claude of all) await claude.begin("go");
  const { page, context } = await start(t, dir, { hash: `#sessions&open=${all[1].id}` });
  await until("all cards", async () => (await page.locator(".card").count()) === 100);
  const devtools = await context.newCDPSession(page);
  const used = async () => {
    await devtools.send("HeapProfiler.collectGarbage");
    return (await devtools.send("Runtime.getHeapUsage")).usedSize / 1e6;
  };
  await page.evaluate(() => {
    globalThis.renders = [];
    globalThis.tasks = [];
    const note = () => globalThis.renders.push(performance.now());
    new MutationObserver(note).observe(document.querySelector("#sessions-rows"), {
      childList: true,
    });
    new PerformanceObserver((list) =>
      globalThis.tasks.push(...list.getEntries().map(({ duration }) => Math.round(duration))),
    ).observe({ type: "longtask" });
  });
  const pour = async (seconds) => {
    for (let second = 0; second < seconds; second += 1) {
      const next = Date.now() + 1_000;
      for (const claude of all) {
        const records = Array.from({ length: 50 }, (_, at) =>
          claude.ofAssistant([{ type: "text", text: `text ${second} ${at}` }]),
        );
        await claude.append(...records);
      }
      await until("the next second", () => Date.now() >= next);
    }
    await all[1].say(`end of ${seconds}`);
    await page
      .locator("#sessions-rows .said", { hasText: `end of ${seconds}` })
      .waitFor({ timeout: 4 * PATIENCE_MS });
  };
  await pour(6);
  const early = await used();
  await pour(14);
  const late = await used();
  const { renders, tasks } = await page.evaluate(() => ({
    renders: globalThis.renders,
    tasks: globalThis.tasks,
  }));
  t.diagnostic(
    `heap ${early.toFixed(1)} and ${late.toFixed(1)} MB; ${renders.length} renders; long tasks ${tasks}`,
  );
  assert.ok(late < 1.3 * early + 2);
  assert.ok(renders.length <= 2 + (renders.at(-1) - renders[0]) / 1_000);
  unproblematic(page);
});
