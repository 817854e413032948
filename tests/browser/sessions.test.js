/** The Sessions view, on transcripts written as Claude Code writes them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { rm, utimes } from "node:fs/promises";
import { test } from "node:test";

import { Claude } from "./claude.js";
import {
  append,
  claudeDir,
  line,
  sees,
  serve,
  tab,
  unproblematic,
  until,
  visit,
  write,
} from "./harness.js";

const LIVE = "#sessions-view .badge[data-state=live]";

/** Starts the program, and a page that shows the sessions. */
async function start(t, dir, { hash = "", args = [], ...options } = {}) {
  const server = await serve(t, dir, { args });
  const context = await visit(t, options);
  const page = await tab(context, server.url + hash, { state: options.state ?? "" });
  if (options.state !== "live") await page.waitForSelector(LIVE);
  return { server, context, page };
}

/** Returns ids of living processes, which stand for those of sessions. */
function processes(t, count) {
  const children = Array.from({ length: count }, () => spawn("sleep", ["600"]));
  t.after(() => children.forEach((child) => child.kill()));
  return children.map(({ pid }) => pid);
}

const card = (page, { id }) => page.locator(`[data-session-id="${id}"]`);
const is = (page, claude, status) =>
  page.waitForSelector(`[data-session-id="${claude.id}"][data-status=${status}]`);
const hash = (page) => page.evaluate(() => location.hash);

/** Waits for a row whose text contains this. */
const row = async (page, text) => {
  const found = page.locator("#sessions-rows li .line", { hasText: text }).first();
  await found.waitFor();
  return found;
};

async function titles(page) {
  return page.$$eval(".card .title", (nodes) => nodes.map((node) => node.textContent));
}

test("from the prompt to the answer, the card tells what the session does", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Fix the parser");
  await claude.status("busy");
  await claude.begin("fix the parser");
  const { page } = await start(t, dir);
  assert.match(await hash(page), /#sessions$/);
  await is(page, claude, "working");
  const now = card(page, claude).locator(".now");
  await now.filter({ hasText: "thinking for" }).waitFor();
  await claude.say("I look at the tests first.");
  const call = await claude.call("Bash", { command: "cargo test -q", description: "Run tests" });
  await now.filter({ hasText: /^Bash cargo test -q for \d+ s/ }).waitFor();
  assert.equal(
    await card(page, claude).locator(".last").textContent(),
    "I look at the tests first.",
  );
  await claude.status("waiting", "permission prompt");
  await is(page, claude, "waiting");
  await now.filter({ hasText: /^Permission prompt: Bash cargo test -q/ }).waitFor();
  await until("the title counts", async () => (await page.title()) === "(1) claude-live");
  assert.equal(await page.textContent("#app-waiting"), "1");
  assert.match(await page.getAttribute("#app-icon", "href"), /favicon-asks/);
  await claude.status("busy");
  await is(page, claude, "working");
  await claude.result(call, "ok");
  await claude.say("All pass.", { stop: "end_turn" });
  await claude.endTurn();
  await claude.status("idle");
  await is(page, claude, "idle");
  assert.match(await card(page, claude).locator(".state").textContent(), /^done \d+ s ago$/);
  await until("no one waits", async () => (await page.title()) === "claude-live");
  assert.doesNotMatch(await page.getAttribute("#app-icon", "href"), /asks/);
  unproblematic(page);
});

test("a status is on the card within 350 ms, and the time ticks", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Fast");
  await claude.status("busy");
  await claude.begin("go");
  const { page } = await start(t, dir);
  await is(page, claude, "working");
  const times = [];
  const changes = { waiting: "waiting", busy: "working", idle: "idle" };
  for (const [status, shown] of Object.entries(changes)) {
    await page.evaluate(
      ([id, shown]) => {
        globalThis.changed = new Promise((resume) => {
          const node = document.querySelector(`[data-session-id="${id}"]`);
          const look = () => node.dataset.status === shown && resume(Date.now());
          new MutationObserver(look).observe(node, { attributes: true });
        });
      },
      [claude.id, shown],
    );
    const written = Date.now();
    await claude.status(status, "permission prompt");
    times.push((await page.evaluate(() => globalThis.changed)) - written);
  }
  t.diagnostic(`status after ${times.join(", ")} ms`);
  assert.ok(times.toSorted((a, b) => a - b)[1] < 350, `${times}`);
  const state = card(page, claude).locator(".state");
  const seconds = async () => Number(/^done (\d+) s ago$/.exec(await state.textContent())?.[1]);
  const first = await seconds();
  await until("two more seconds", async () => (await seconds()) >= first + 2);
});

test("those that wait are on top, ended ones are folded, and nothing moves under the pointer", async (t) => {
  const dir = await claudeDir(t);
  const pids = processes(t, 4);
  const make = async (title, status, at) => {
    const claude = new Claude(dir, title, { pid: pids.pop() });
    await claude.begin(title);
    await claude.status(status, status === "waiting" ? "permission prompt" : undefined);
    return claude;
  };
  const old = new Claude(dir, "Old", { pid: 0 });
  await old.begin("long ago", { at: Date.now() - 3_600_000 });
  await old.endTurn(1, { at: Date.now() - 3_600_000 });
  await utimes(old.path, Date.now() / 1000 - 3600, Date.now() / 1000 - 3600);
  const [idle, first, second] = [
    await make("Idle", "idle"),
    await make("First", "busy"),
    await make("Second", "busy"),
  ];
  const { page } = await start(t, dir);
  await is(page, idle, "idle");
  assert.deepEqual((await titles(page)).at(-1), "Idle");
  const before = await titles(page);
  await page.locator(".group", { hasText: "1 ended" }).locator("button").click();
  await card(page, old).waitFor();
  await page.mouse.move(1, 1);
  const top = async () => (await card(page, idle).boundingBox()).y;
  const place = await top();
  await card(page, idle).hover();
  await idle.status("waiting", "permission prompt");
  await is(page, idle, "waiting");
  assert.ok(Math.abs((await top()) - place) < 5);
  const note = page.locator("#sessions-sort", { hasText: "Idle waits for you" });
  await note.waitFor();
  await page.mouse.move(1, 1);
  await until("the one that waits is first", async () => (await titles(page))[0] === "Idle");
  assert.equal(await note.isVisible(), false);
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Idle");
  await first.status("waiting", "permission prompt");
  await is(page, first, "waiting");
  assert.deepEqual((await titles(page)).slice(0, 3), ["Idle", ...before.slice(0, 2)]);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Idle");
  await page.locator("#sessions-sort").click();
  await until("both", async () => String((await titles(page)).slice(0, 2)) === "Idle,First");
  unproblematic(page);
});

test("a session opens beside the list, and its rows follow what happens", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Fix the parser");
  await claude.status("busy");
  await claude.begin("fix the parser", { at: Date.now() - 60_000 });
  for (const name of ["Read", "Read", "Grep"]) {
    const id = await claude.call(name, { file_path: "/a.rs", pattern: "x" });
    await claude.result(id, "fine");
  }
  const failing = await claude.call("Bash", { command: "cargo test" });
  await claude.result(failing, "Exit code 101\n1 failed", { isError: true });
  const { page } = await start(t, dir);
  await card(page, claude).click();
  assert.match(await hash(page), new RegExp(`#sessions&open=${claude.id}$`));
  await row(page, "3 tool calls — 2 Read, 1 Grep");
  assert.match(await (await row(page, "cargo test")).textContent(), /Bash.*Exit code 101/);
  const open = await claude.call("Edit", { file_path: "/src/parser.rs", new_string: "x" });
  const edit = await row(page, "/src/parser.rs");
  assert.match(await edit.locator(".took").textContent(), /^\d+ s$/);
  await claude.result(open, "done");
  await claude.say("**Done**, with `code` and password=hunter2.", { stop: "end_turn" });
  await claude.endTurn(71_230);
  await row(page, "End of the turn1 m 11 s");
  const answer = await row(page, "Done");
  assert.match(await answer.textContent(), /code and password=•+/);
  await answer.locator(".secret").click();
  assert.match(await answer.textContent(), /password=hunter2/);
  await (await row(page, "3 tool calls")).click();
  assert.equal(await page.locator("#sessions-rows li ol > li").count(), 3);
  await edit.click();
  const detail = page.locator(".detail", { hasText: "new_string" });
  await detail.locator("summary", { hasText: "the whole record" }).first().click();
  await detail.locator(".json", { hasText: '"requestId": ' }).first().waitFor();
  unproblematic(page);
});

test("the head tells how long ago the session began, and that ticks", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Ticks");
  await claude.begin("go", { at: Date.now() - 75_000 });
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}` });
  const began = page.locator("#sessions-figures time", { hasText: /^began 1 m \d+ s ago$/ });
  const first = await began.textContent();
  await until("another second", async () => (await began.textContent()) !== first);
  unproblematic(page);
});

test("a call without a result stops with its turn or its session, and takes a late result", async (t) => {
  const dir = await claudeDir(t);
  const [child] = processes(t, 1);
  const claude = new Claude(dir, "Stops", { pid: child });
  await claude.status("busy");
  await claude.begin("go");
  await claude.call("Bash", { command: "make all" });
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}` });
  const tookBy = async (command) => (await row(page, command)).locator(".took");
  const running = page.locator("#sessions-rows [data-running]");
  await (await tookBy("make all")).filter({ hasText: /^\d+ s$/ }).waitFor();
  assert.equal(await running.count(), 1);
  await claude.prompt("[Request interrupted by user for tool use]");
  await (await tookBy("make all")).filter({ hasText: /^no result$/ }).waitFor();
  assert.equal(await running.count(), 0);
  const late = await claude.call("Bash", { command: "sleep 9" });
  await (await tookBy("sleep 9")).filter({ hasText: /^\d+ s$/ }).waitFor();
  await claude.prompt("never mind");
  await (await tookBy("sleep 9")).filter({ hasText: /^no result$/ }).waitFor();
  await claude.result(late, "done", { at: Date.now() + 9_000 });
  await (await tookBy("sleep 9")).filter({ hasText: /^(9|1\d)(\.\d)? s$/ }).waitFor();
  await claude.call("Bash", { command: "make rest" });
  await (await tookBy("make rest")).filter({ hasText: /^\d+ s$/ }).waitFor();
  process.kill(child);
  await is(page, claude, "ended");
  await (await tookBy("make rest")).filter({ hasText: /^no result$/ }).waitFor();
  assert.equal(await running.count(), 0);
  unproblematic(page);
});

test("a record that is written while the first page is on its way is a row", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Raced");
  await claude.begin("begin");
  const { page } = await start(t, dir, { hash: "#sessions" });
  const text = card(page, claude).locator(".last", { hasText: "between" });
  await page.route("**/records?*", async (route) => {
    const response = await route.fetch();
    await claude.say("between");
    await text.waitFor();
    await route.fulfill({ response });
  });
  await card(page, claude).click();
  await row(page, "begin");
  await row(page, "between");
  unproblematic(page);
});

test("a card with the focus that leaves the list leaves the others in order", async (t) => {
  const dir = await claudeDir(t);
  const all = ["One", "Two", "Three"].map((title) => new Claude(dir, title));
  for (const claude of all) await claude.begin("go");
  const { page } = await start(t, dir, { hash: "#sessions" });
  await until("all cards", async () => (await page.locator(".card").count()) === 3);
  await page.keyboard.press("j");
  const focused = await page.evaluate(
    () => document.activeElement.closest(".card").querySelector(".title").textContent,
  );
  // After a quiet second the next redraw is made at once.
  await page.waitForTimeout(1_500);
  const other = all.map(({ title }) => title).find((title) => title !== focused);
  await page.evaluate((words) => (location.hash = `#sessions&q=${words}`), other);
  await until("one card", async () => String(await titles(page)) === other);
  unproblematic(page);
});

test("the address names the Live view, also if no filter is set", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "One");
  await claude.status("busy");
  await claude.begin("go");
  const { page } = await start(t, dir);
  assert.match(await hash(page), /#sessions$/);
  await page.locator("[data-view=live]").first().click();
  await until("the address", async () => !/sessions/.test(await hash(page)));
  unproblematic(page);
});

test("while one reads further up, new rows wait and the place stays", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Long");
  await claude.status("busy");
  await claude.begin("begin");
  const texts = Array.from({ length: 900 }, (_, at) => `answer ${at}`);
  await claude.append(...texts.map((text) => claude.ofAssistant([{ type: "text", text }])));
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}` });
  await row(page, "answer 899");
  const flow = page.locator("#sessions-flow");
  await until("the end", () =>
    flow.evaluate((it) => it.scrollTop + it.clientHeight > it.scrollHeight - 2),
  );
  await claude.say("followed");
  await row(page, "followed");
  await until("the end", () =>
    flow.evaluate((it) => it.scrollTop + it.clientHeight > it.scrollHeight - 2),
  );
  await until("the first record", async () => {
    await flow.evaluate((it) => (it.scrollTop -= 5_000));
    return (await page.textContent("#sessions-before")) === "The session begins here.";
  });
  await row(page, "begin");
  await flow.evaluate((it) => (it.scrollTop = 300));
  const top = await flow.evaluate((it) => it.scrollTop);
  await claude.say("one more");
  await claude.say("and another");
  await page.locator("#sessions-new", { hasText: "2 new" }).waitFor();
  assert.equal(await flow.evaluate((it) => it.scrollTop), top);
  await page.click("#sessions-new");
  await page.locator("#sessions-new").waitFor({ state: "hidden" });
  assert.ok(await (await row(page, "and another")).isVisible());
  const order = await page.$$eval("#sessions-rows .said", (nodes) =>
    nodes.map((it) => it.textContent),
  );
  assert.deepEqual(order, ["begin", ...texts, "followed", "one more", "and another"]);
  unproblematic(page);
});

test("the end stays in sight when the window becomes smaller, and a place further up stays", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Long");
  await claude.status("busy");
  await claude.begin("begin");
  const texts = Array.from({ length: 60 }, (_, at) => `answer ${at}`);
  await claude.append(...texts.map((text) => claude.ofAssistant([{ type: "text", text }])));
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}` });
  await row(page, "answer 59");
  const flow = page.locator("#sessions-flow");
  const ofEnd = () => flow.evaluate((it) => it.scrollHeight - it.scrollTop - it.clientHeight);
  await until("the end", async () => (await ofEnd()) < 2);
  await page.setViewportSize({ width: 1280, height: 500 });
  await until("the end in a smaller window", async () => (await ofEnd()) < 2);
  await flow.evaluate((it) => (it.scrollTop = 300));
  await until("that the place is noticed", async () => (await ofEnd()) > 48);
  await page.setViewportSize({ width: 1280, height: 700 });
  await claude.say("followed by nobody");
  await page.locator("#sessions-new", { hasText: "1 new" }).waitFor();
  assert.equal(await flow.evaluate((it) => it.scrollTop), 300);
  unproblematic(page);
});

test("a record that is open while its tool runs gets its result, and stays where it is", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Runs");
  await claude.status("busy");
  await claude.begin("begin");
  const texts = Array.from({ length: 60 }, (_, at) => `answer ${at}`);
  await claude.append(...texts.map((text) => claude.ofAssistant([{ type: "text", text }])));
  const ids = [];
  for (const name of ["Grep", "Read"]) ids.push(await claude.call(name, { pattern: "x" }));
  const bash = await claude.call("Bash", { command: "make all" });
  const later = Array.from({ length: 40 }, (_, at) => `later ${at}`);
  await claude.append(...later.map((text) => claude.ofAssistant([{ type: "text", text }])));
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}` });
  const call = await row(page, "make all");
  await call.click();
  const detail = page.locator("#sessions-rows .detail");
  await detail.locator(".whole", { hasText: "make all" }).waitFor();
  assert.equal(await detail.locator(".note", { hasText: /^result$/ }).count(), 0);
  await detail.locator("summary").first().click();
  const flow = page.locator("#sessions-flow");
  const scrolled = () => flow.evaluate((it) => it.scrollTop);
  const place = async () => [(await call.boundingBox()).y, await scrolled()];
  const before = await place();
  await claude.result(bash, "all is made");
  await detail.locator(".whole", { hasText: "all is made" }).waitFor();
  // Three calls that went well are a group, in which an open one does not vanish.
  for (const id of ids) await claude.result(id, "fine");
  await until("no call runs", async () => (await page.locator("[data-running]").count()) === 0);
  assert.equal(await detail.locator("details").first().getAttribute("open"), "");
  assert.deepEqual(await place(), before);
  await call.click();
  await claude.say("done");
  await row(page, "3 tool calls");
  unproblematic(page);
});

test("a subagent's work is within the call that started it", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Callers");
  await claude.status("busy");
  await claude.begin("find callers");
  const input = { description: "Find callers", subagent_type: "Explore", prompt: "Find them." };
  const call = await claude.call("Agent", input);
  const meta = { agentType: "Explore", description: "Find callers", toolUseId: call };
  const { page, server } = await start(t, dir);
  await claude.subagent("a1", meta);
  await card(page, claude)
    .locator("li[data-agent=running]", { hasText: "Explore · Find callers" })
    .waitFor();
  await claude.subagent("a1", meta, "There are three.");
  const result = { agentId: "a1", status: "completed", totalToolUseCount: 1 };
  await claude.result(call, "Three callers.", { result });
  await card(page, claude).locator("li[data-agent=done]").waitFor();
  await card(page, claude).click();
  const agent = await row(page, "AgentFind callers");
  const records = `${server.url}api/claude/sessions/${claude.id}/records?agent=a1`;
  await until("the server knows the subagent", async () => (await fetch(records)).ok);
  await agent.click();
  await page.locator(".nest .said", { hasText: "There are three." }).waitFor();
  await claude.subagent("a1", meta, "Wait, four.");
  await page.locator(".nest .said", { hasText: "Wait, four." }).waitFor();
  const other = await claude.call("Agent", { ...input, description: "Count them" });
  await (await row(page, "AgentCount them")).click();
  await page.locator(".detail .whole", { hasText: "Count them" }).waitFor();
  await claude.subagent("a2", { ...meta, description: "Count them", toolUseId: other }, "One.");
  await page.locator(".nest .said", { hasText: "One." }).waitFor();
  await claude.result(other, "Two are left.", { result: { ...result, agentId: "a2" } });
  await page.locator(".detail .whole", { hasText: "Two are left." }).waitFor();
  assert.equal(await page.locator(".nest .said", { hasText: "One." }).count(), 1);
  unproblematic(page);
});

test("by the keyboard alone: from the list into a record, and back", async (t) => {
  const dir = await claudeDir(t);
  const pids = processes(t, 2);
  const [one, two] = ["One", "Two"].map((title, at) => new Claude(dir, title, { pid: pids[at] }));
  for (const claude of [one, two]) {
    await claude.begin(`prompt of ${claude.title}`);
    await claude.status("busy");
  }
  const { page } = await start(t, dir);
  await is(page, one, "working");
  await is(page, two, "working");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  const title = await page.evaluate(() => document.activeElement.textContent);
  await page.keyboard.press("Enter");
  const prompt = await row(page, `prompt of ${title}`);
  await page.keyboard.press("j");
  assert.ok(await prompt.locator(".open").evaluate((it) => it === document.activeElement));
  await page.keyboard.press("Enter");
  await page.locator(".detail .whole", { hasText: `prompt of ${title}` }).waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".detail").waitFor({ state: "detached" });
  await page.keyboard.press("Escape");
  await page.locator("#sessions-one").waitFor({ state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement.textContent), title);
  await page.keyboard.press("/");
  await page.keyboard.type(title === "One" ? "two" : "one");
  await until("one card", async () => (await titles(page)).length === 1);
  await page.keyboard.press("Escape");
  await until("both cards", async () => (await titles(page)).length === 2);
  unproblematic(page);
});

test("the keyboard begins at the newest row in sight, and Tab reaches one row", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Long");
  await claude.status("busy");
  await claude.begin("begin");
  const texts = Array.from({ length: 300 }, (_, at) => `answer ${at}`);
  await claude.append(...texts.map((text) => claude.ofAssistant([{ type: "text", text }])));
  const { page } = await start(t, dir);
  await card(page, claude).locator(".title").click();
  await row(page, "answer 299");
  const flow = page.locator("#sessions-flow");
  await until("the end", () =>
    flow.evaluate((it) => it.scrollTop + it.clientHeight > it.scrollHeight - 2),
  );
  const focused = () =>
    page.evaluate(
      () => document.activeElement.closest("li")?.querySelector(".said")?.textContent ?? "",
    );
  const stops = () =>
    page.$$eval("#sessions-rows [tabindex='0']", (all) =>
      all.map((it) => it.closest("li").querySelector(".said").textContent),
    );
  assert.deepEqual(await stops(), ["answer 299"]);
  const top = await flow.evaluate((it) => it.scrollTop);
  await page.keyboard.press("k");
  assert.equal(await focused(), "answer 299");
  await page.keyboard.press("k");
  assert.equal(await focused(), "answer 298");
  assert.equal(await flow.evaluate((it) => it.scrollTop), top);
  assert.equal(await page.locator("#sessions-rows > li").count(), 100);
  for (const key of ["ArrowUp", "ArrowUp", "ArrowDown"]) await page.keyboard.press(key);
  assert.equal(await focused(), "answer 297");
  assert.deepEqual(await stops(), ["answer 297"]);
  await flow.focus();
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "answer 297");
  await flow.focus();
  await flow.evaluate((it) => (it.scrollTop -= 600));
  await page.keyboard.press("j");
  const { bottom } = await flow.evaluate((it) => it.getBoundingClientRect());
  const box = await page.evaluate(() => document.activeElement.getBoundingClientRect());
  assert.ok(box.bottom <= bottom && box.bottom > bottom - 60, `${box.bottom} of ${bottom}`);
  await page.keyboard.press("Enter");
  await page.locator(".detail .whole").waitFor();
  await page.locator(".detail summary").focus();
  const open = await focused();
  await page.keyboard.press("k");
  assert.equal(Number((await focused()).slice(7)), Number(open.slice(7)) - 1);
  unproblematic(page);
});

test("the filter is in the address, and the Live view has its words and project too", async (t) => {
  const dir = await claudeDir(t);
  await write(
    dir,
    JSON.stringify({ display: "fix beta", project: "/b", sessionId: "s", timestamp: 1 }),
  );
  const pids = processes(t, 2);
  const [alpha, beta] = ["Alpha", "Beta"].map(
    (title, at) => new Claude(dir, title, { pid: pids[at], project: `/home/${title}` }),
  );
  for (const claude of [alpha, beta]) {
    await claude.begin(`fix ${claude.title}`);
    await claude.status("busy");
  }
  await beta.status("waiting", "permission prompt");
  const { page } = await start(t, dir, { hash: "#sessions&status=waiting" });
  await card(page, beta).waitFor();
  assert.deepEqual(await titles(page), ["Beta"]);
  await page.selectOption("#sessions-status", "");
  await page.selectOption("#sessions-project", "/home/Alpha");
  await until("alpha", async () => String(await titles(page)) === "Alpha");
  await page.fill("#sessions-search", "fix");
  assert.match(await hash(page), /#sessions&q=fix&project=%2Fhome%2FAlpha$/);
  await page.click("[data-view=live]");
  assert.equal(await page.inputValue("#claude-live-search"), "fix");
  assert.equal(await page.inputValue("#live-project"), "/home/Alpha");
  await page.click("#live-hidden");
  assert.match(await hash(page), /#live$/);
  await page.selectOption("#live-status", "waiting");
  await page.click("[data-view=sessions]");
  assert.deepEqual(await titles(page), ["Beta"]);
  await page.selectOption("#sessions-status", "");
  await page.click("[data-view=live]");
  await page.click("[data-view=sessions]");
  await until("both", async () => (await titles(page)).length === 2);
  await page.reload();
  await card(page, alpha).waitFor();
  unproblematic(page);
});

test("a session that is deleted leaves the list, and an open one says so", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Gone");
  await claude.status("idle");
  await claude.begin("soon gone");
  const { page } = await start(t, dir);
  await card(page, claude).click();
  await row(page, "soon gone");
  await claude.remove();
  await page.locator("#sessions-before", { hasText: "The session was deleted." }).waitFor();
  await card(page, claude).waitFor({ state: "detached" });
  assert.ok(await (await row(page, "soon gone")).isVisible());
  await page.reload();
  await page.locator("#sessions-before", { hasText: "No transcript of this session" }).waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#sessions-empty").waitFor();
  unproblematic(page);
});

test("the head of a deleted session says so, nothing ticks, and it can come back", async (t) => {
  const dir = await claudeDir(t);
  const [child] = processes(t, 1);
  const claude = new Claude(dir, "Gone", { pid: child });
  await claude.begin("soon gone");
  await claude.say("reads");
  await claude.call("Bash", { command: "make all" });
  await claude.status("waiting", "permission prompt");
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}` });
  await row(page, "make all");
  await page.locator("#sessions-waits", { hasText: /^Waits for you · \d+ s/ }).waitFor();
  const ticking = page.locator("#sessions-one [data-since]:visible");
  assert.equal(await ticking.count(), 3);
  await rm(claude.path);
  await page.locator("#sessions-figures", { hasText: "0 records" }).waitFor();
  assert.equal(await page.textContent("#sessions-title"), "Gone");
  await claude.remove();
  const head = page.locator("#sessions-figures", { hasText: "The session was deleted." });
  await head.waitFor();
  await page.locator("#sessions-rows .took", { hasText: /^no result$/ }).waitFor();
  assert.equal(await ticking.count(), 0);
  assert.equal(await page.locator("#sessions-waits").isVisible(), false);
  assert.equal(await page.textContent("#sessions-title"), "Gone");
  await claude.status("busy");
  await claude.prompt("back again");
  await row(page, "back again");
  // The record comes before the session, and its row may be drawn below those that were there.
  const rows = page.locator("#sessions-rows > li");
  await until("it is the only row", async () => (await rows.count()) === 1);
  await head.waitFor({ state: "hidden" });
  unproblematic(page);
});

test("an empty view says why: nothing yet, nothing matches, switched off, server gone", async (t) => {
  const dir = await claudeDir(t);
  const { page, server } = await start(t, dir, { hash: "#sessions" });
  await page
    .locator("#sessions-empty h2", { hasText: `No transcript in ${dir}/projects yet` })
    .waitFor();
  const claude = new Claude(dir, "First");
  await claude.begin("first");
  await card(page, claude).waitFor();
  await page.fill("#sessions-search", "nothing like this");
  await page.locator("#sessions-empty h2", { hasText: "Nothing matches" }).waitFor();
  await page.click("#sessions-hidden");
  await card(page, claude).waitFor();
  await server.stop();
  await page.waitForSelector("#sessions-view .badge[data-state=reconnecting]");
  assert.ok(await card(page, claude).isVisible());
  const off = await start(t, dir, { hash: "#sessions", args: ["--no-transcripts"] });
  await off.page
    .locator("#sessions-empty h2", { hasText: "Transcripts are switched off" })
    .waitFor();
  unproblematic(off.page);
});

test("without a living session the Live view is first, also where ended ones are known", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Ended");
  await claude.begin("x");
  const server = await serve(t, dir);
  const page = await tab(await visit(t), server.url);
  assert.equal(await hash(page), "");
  await page.click("[data-view=sessions]");
  await card(page, claude).waitFor();
  assert.equal(await hash(page), "#sessions");
});

test("agents' work is a kind of rows in the Live view, off at first and remembered", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Works");
  await claude.status("busy");
  await claude.begin("go");
  const at = { project: claude.project, sessionId: claude.id };
  await write(dir, line("go", at));
  const { page, server } = await start(t, dir, { hash: "#live", state: "live" });
  const work = page.locator("#claude-live-table tr[data-kind=agent] .said");
  await claude.say("not shown");
  const list = () => fetch(`${server.url}api/claude/sessions`).then((answer) => answer.json());
  await until("the answer", async () => (await list()).sessions[0].text === "not shown");
  await append(dir, line("after it", at));
  await sees(page, "after it");
  await page.click("#live-agents");
  const call = await claude.call("Bash", { command: "cargo test" });
  await claude.result(call, "a result, which is no row");
  await claude.say("All pass.", { stop: "end_turn" });
  await claude.endTurn();
  await until("rows", async () => (await work.count()) === 3);
  assert.deepEqual(await work.allTextContents(), [
    "End of the turn",
    "All pass.",
    "Bash cargo test",
  ]);
  await page.click("#live-agents");
  await until("none", async () => (await work.count()) === 0);
  await page.click("#live-agents");
  await page.reload();
  await page.waitForSelector("#live-agents[aria-pressed=true]");
  await claude.say("after the reload");
  await work.filter({ hasText: "after the reload" }).waitFor();
  await page.locator("#claude-live-table tr[data-kind=prompt] .open").first().click();
  await page.click("text=Open session");
  await row(page, "All pass.");
  assert.equal(await hash(page), `#sessions&open=${claude.id}`);
  unproblematic(page);
});

test("dates stand between rows of different days, also when older ones are read", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Days");
  const noon = new Date().setHours(12, 0, 0, 0);
  const ago = (days) => ({ at: new Date(noon).setDate(new Date(noon).getDate() - days) });
  await claude.begin("three days ago", ago(3));
  const texts = Array.from({ length: 300 }, (_, at) => `hay ${at}`);
  await claude.append(
    ...texts.map((text) => claude.ofAssistant([{ type: "text", text }], ago(1))),
  );
  await claude.prompt("now");
  await claude.status("busy");
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}` });
  const date = (days) =>
    page.evaluate((at) => new Date(at).toLocaleDateString([], { dateStyle: "full" }), ago(days).at);
  const [old, before, today] = [await date(3), await date(1), await date(0)];
  await row(page, "now");
  const all = () =>
    page.$$eval("#sessions-rows > li", (nodes) =>
      nodes.map((it) => (it.querySelector(":scope .said, :scope h3") ?? it).textContent),
    );
  const few = await all();
  assert.equal(few[0], before);
  assert.equal(few.length, 102);
  const flow = page.locator("#sessions-flow");
  await until("the first record", async () => {
    await flow.evaluate((it) => (it.scrollTop -= 5_000));
    return (await page.textContent("#sessions-before")) === "The session begins here.";
  });
  await row(page, "three days ago");
  assert.deepEqual(await all(), [old, "three days ago", before, ...texts, today, "now"]);
  await flow.focus();
  for (let at = 0; at < 60; at += 1) await page.keyboard.press("k");
  const focused = await page.evaluateHandle(() => document.activeElement.closest("li"));
  assert.equal(await focused.$eval(".said", (it) => it.textContent), "three days ago");
  await page.fill("#sessions-find", "three");
  await until("the hit", async () => (await all()).length === 2);
  assert.deepEqual(await all(), [old, "three days ago"]);
  await page.fill("#sessions-find", "now");
  await until("the hit", async () => String(await all()) === "now");
  unproblematic(page);
});

test("a prompt of long ago opens its session, which the server then reads", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Old");
  const then = Date.now() - 10 * 86_400_000;
  await claude.begin("long ago", { at: then });
  await utimes(claude.path, then / 1000, then / 1000);
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}` });
  await row(page, "long ago");
  assert.equal(await card(page, claude).count(), 0);
  unproblematic(page);
});

test("one finds words within a session, also in records that were not read yet", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Find");
  await claude.status("busy");
  await claude.begin("the needle is here, once");
  const texts = Array.from({ length: 1_500 }, (_, at) => `hay ${at}`);
  await claude.append(...texts.map((text) => claude.ofAssistant([{ type: "text", text }])));
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}` });
  await row(page, "hay 1499");
  await page.keyboard.press("f");
  await page.keyboard.type("needle");
  await page.locator("#sessions-before", { hasText: "Searched the newest" }).waitFor();
  assert.equal(await page.locator("#sessions-rows li").count(), 0);
  await page.click("#sessions-further");
  await row(page, "the needle is here, once");
  assert.equal(await page.locator("#sessions-rows li").count(), 1);
  await page.fill("#sessions-find", "camel");
  await page.locator("#sessions-before", { hasText: /^Nothing matches\.$/ }).waitFor();
  await page.fill("#sessions-find", "");
  await row(page, "hay 1499");
  await page.locator("#sessions-before", { hasText: "The session begins here." }).waitFor();
  unproblematic(page);
});

test("a hit stays in sight when the search is cleared: an open one, else the first", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Context");
  await claude.status("busy");
  await claude.begin("begin");
  const records = [];
  for (let at = 0; at < 80; at += 1) {
    const text = at === 20 || at === 50 ? `the needle ${at}` : `hay ${at}`;
    records.push(claude.ofAssistant([{ type: "text", text }]));
  }
  await claude.append(...records);
  for (const name of ["Read", "Read", "Read", "Grep"]) {
    const id = await claude.call(name, { file_path: name === "Grep" ? "/camel" : "/a.rs" });
    await claude.result(id, "fine");
  }
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}`, height: 600 });
  await row(page, "hay 79");
  const lines = page.locator("#sessions-rows .line");
  const flow = await page.locator("#sessions-flow").boundingBox();
  const placeOf = async (text) => (await (await row(page, text)).boundingBox()).y - flow.y;
  const isInSight = async (text) => {
    const place = await placeOf(text);
    return place >= 0 && place < flow.height;
  };
  const find = async (text, count) => {
    await page.fill("#sessions-find", text);
    await until("the hits", async () => (await lines.count()) === count);
  };
  const clear = async () => {
    await page.fill("#sessions-find", "");
    await until("all rows", async () => (await lines.count()) > 80);
  };
  await find("needle", 2);
  await (await row(page, "needle 50")).click();
  await page.locator(".detail .whole").waitFor();
  const place = await placeOf("needle 50");
  await clear();
  assert.ok(Math.abs((await placeOf("needle 50")) - place) < 2);
  assert.ok(await isInSight("hay 49"));
  await (await row(page, "needle 50")).click();
  await find("needle", 2);
  await clear();
  assert.ok(await isInSight("needle 20"));
  await claude.say("more");
  await page.locator("#sessions-new", { hasText: "1 new" }).waitFor();
  assert.ok(await isInSight("needle 20"));
  await find("camel", 1);
  await clear();
  assert.ok(await isInSight("/camel"));
  await find("nothing like this", 0);
  await clear();
  assert.ok(await isInSight("more"));
  unproblematic(page);
});

test("Escape clears the search in a session before it closes the session", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Escape");
  await claude.status("busy");
  await claude.begin("begin");
  for (let at = 0; at < 60; at += 1) await claude.say(at === 20 ? "the needle" : `hay ${at}`);
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}`, height: 600 });
  await row(page, "hay 59");
  const lines = page.locator("#sessions-rows .line");
  const isAll = () => until("all rows", async () => (await lines.count()) > 60);
  await page.keyboard.press("f");
  await page.keyboard.type("needle");
  await until("the hit", async () => (await lines.count()) === 1);
  await page.keyboard.press("Escape");
  await isAll();
  assert.equal(await page.inputValue("#sessions-find"), "");
  assert.ok(await page.locator("#sessions-find").evaluate((it) => it === document.activeElement));
  await page.keyboard.type("needle");
  await until("the hit", async () => (await lines.count()) === 1);
  await page.keyboard.press("Enter");
  const hit = await row(page, "the needle");
  assert.ok(await hit.locator(".open").evaluate((it) => it === document.activeElement));
  await page.keyboard.press("Escape");
  await isAll();
  assert.ok(await hit.locator(".open").evaluate((it) => it === document.activeElement));
  const [box, flow] = [hit, page.locator("#sessions-flow")].map((it) => it.boundingBox());
  assert.ok((await box).y >= (await flow).y && (await box).y < (await flow).y + 400);
  await page.keyboard.press("Escape");
  await page.locator("#sessions-one").waitFor({ state: "hidden" });
  unproblematic(page);
});

test("the resume command, the id and the transcript's path can be copied", async (t) => {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Copy", { project: "/home/demo/it's" });
  await claude.status("busy");
  await claude.begin("go");
  const { page } = await start(t, dir, { hash: `#sessions&open=${claude.id}` });
  await page.evaluate(() => {
    globalThis.copied = [];
    navigator.clipboard.writeText = async (text) => void globalThis.copied.push(text);
  });
  await page.locator("#sessions-figures", { hasText: "/home/demo/it's" }).waitFor();
  // The page knows the directory then.
  await page.locator("#app-status", { hasText: "history.jsonl" }).waitFor();
  for (const text of ["resume", "id", "path"]) await page.click(`[data-text=${text}]`);
  await page.locator("[data-text=path]", { hasText: "Copied" }).waitFor();
  assert.deepEqual(await page.evaluate(() => globalThis.copied), [
    `cd '/home/demo/it'\\''s' && claude --resume ${claude.id}`,
    claude.id,
    claude.path,
  ]);
});

test("while transcripts are read, the view says how many are", async (t) => {
  const dir = await claudeDir(t);
  const server = await serve(t, dir);
  const context = await visit(t);
  let reading = { files: 2_811, done: 1_204 };
  await context.route("**/api/claude/sessions", async (route) => {
    const answer = await (await route.fetch()).json();
    await route.fulfill({ json: { ...answer, reading } });
  });
  const page = await tab(context, `${server.url}#sessions`, { state: "" });
  const note = page.locator("#sessions-reading");
  await note.filter({ hasText: "Reading transcripts: 1,204 of 2,811 files" }).waitFor();
  reading = { files: 2_811, done: 2_811 };
  await note.waitFor({ state: "hidden" });
});
