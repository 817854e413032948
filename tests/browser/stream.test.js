/** What becomes of the stream: reconnects, gaps, resets, many tabs. No row is lost and none is there twice. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { chmod, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { ROWS, append, claudeDir, ids, inState, line, lines, open, said, sees, serve, settled, tab, unproblematic, until, visit, write } from "./harness.js";

function once(texts) {
  assert.equal(new Set(texts).size, texts.length, `twice in ${texts}`);
}

const streams = async (url) => (await (await fetch(`${url}healthz`)).json()).counters.subscribers;

test("after a kill and a restart the page goes on by itself, with its open rows, and nothing is lost or twice", async (t) => {
  const { dir, server, page } = await open(t, lines(5, "before"));
  await page.locator(ROWS).nth(1).click();
  const detail = await page.locator("tr.detail").elementHandle();
  await server.stop();
  await inState(page, "reconnecting");
  await append(dir, line("while down"));
  await serve(t, dir, { port: server.port });
  await inState(page, "live");
  await sees(page, "while down");
  await append(dir, line("after"));
  await sees(page, "after");
  const shown = (await said(page)).filter((text) => /^(before|while|after)/.test(text));
  assert.deepEqual(shown, ["after", "while down", "before 4", "before 3", "before 2", "before 1", "before 0"]);
  once(await ids(page));
  assert.ok(await detail.evaluate((node) => node.isConnected && node.previousElementSibling.textContent.includes("before 3")));
  await page.locator("#live-status", { hasText: "gap reloaded" }).waitFor();
  unproblematic(page);
});

/** A proxy in front of the program that can cut lines and refuse. */
async function proxy(t, port) {
  const open = new Set();
  const gate = { status: 0, requests: [], cut: () => open.forEach((socket) => socket.destroy()) };
  const server = createServer(async (request, response) => {
    gate.requests.push(request.url);
    if (gate.status && request.url.startsWith("/api")) return response.writeHead(gate.status, { "retry-after": "1" }).end("{}");
    const abort = new AbortController();
    response.on("close", () => abort.abort());
    try {
      const answer = await fetch(`http://127.0.0.1:${port}${request.url}`, { signal: abort.signal });
      response.writeHead(answer.status, Object.fromEntries([...answer.headers].filter(([name]) => !["content-encoding", "transfer-encoding", "connection", "content-length"].includes(name))));
      for await (const part of answer.body) response.write(part);
      response.end();
    } catch {
      response.destroy();
    }
  });
  server.on("connection", (socket) => (open.add(socket), socket.on("close", () => open.delete(socket))));
  await new Promise((resume) => server.listen(0, "127.0.0.1", resume));
  t.after(() => (gate.cut(), new Promise((resume) => server.close(resume))));
  gate.url = `http://127.0.0.1:${server.address().port}/`;
  return gate;
}

test("after a cut line and 503s the page comes back and says how many events were replayed", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, ...lines(3));
  const server = await serve(t, dir);
  const gate = await proxy(t, server.port);
  const page = await tab(await visit(t), gate.url);
  await sees(page, "prompt 2");
  gate.status = 503;
  gate.cut();
  await inState(page, "reconnecting");
  await append(dir, ...lines(4, "away"));
  await until("a refused try", () => gate.requests.filter((url) => url.startsWith("/api/claude/stream")).length > 2);
  gate.status = 0;
  await inState(page, "live");
  await settled(page, 7);
  once(await said(page));
  await page.locator("#live-status", { hasText: /: 4 replayed/ }).waitFor();
  unproblematic(page);
});

test("without an answer for a while the badge says since when, and what to do", async (t) => {
  const { server, page } = await open(t, lines(1));
  await server.stop();
  await inState(page, "offline");
  assert.match(await page.textContent("#claude-live-conn"), /^offline since \d/);
  assert.match(await page.textContent("#live-banner"), /Start claude-live there again/);
  assert.match(await page.getAttribute("#live-icon", "href"), /favicon-off/);
});

test("who looks at the page waits five seconds at most for the next try", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, line("one"));
  const server = await serve(t, dir);
  const context = await visit(t);
  await context.clock.install();
  const page = await tab(context, server.url);
  await server.stop();
  await inState(page, "reconnecting");
  const tries = [];
  page.on("request", (request) => /claude\/stream/.test(request.url()) && tries.push(request.url()));
  await until("a try for each five seconds of a minute", async () => {
    await context.clock.runFor(5_100);
    return tries.length >= 12;
  });
});

test("a token that is wanted is asked for", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, line("secret"));
  const token = join(dir, "token");
  await writeFile(token, "correct-horse-battery\n");
  await chmod(token, 0o600);
  const server = await serve(t, dir);
  const page = await tab(await visit(t), server.url);
  await server.stop();
  await inState(page, "reconnecting");
  await serve(t, dir, { port: server.port, args: ["--token-file", token] });
  await inState(page, "locked");
  assert.match(await page.textContent("#live-banner"), /token/);
  const other = await tab(page.context(), `${server.url}?token=correct-horse-battery`, { state: null });
  await inState(page, "live");
  await inState(other, "live");
  assert.equal(await page.locator("#live-banner").isVisible(), false);
});

test("a silent line is not called live: it is opened again", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, ...lines(3));
  const server = await serve(t, dir);
  const context = await visit(t);
  await context.clock.install();
  const page = await tab(context, server.url);
  const again = page.waitForRequest(/api\/claude\/stream/);
  await context.clock.fastForward(50_000);
  await again;
  await inState(page, "live");
  await append(dir, line("after"));
  await context.clock.fastForward(1_000);
  await sees(page, "after");
});

test("a purge and a truncation take the rows away, without flicker and with open rows staying open", async (t) => {
  const { dir, page } = await open(t, lines(6));
  await page.locator(ROWS).nth(2).click();
  const kept = await page.locator(ROWS).nth(2).elementHandle();
  await page.evaluate((rows) => {
    globalThis.fewest = Infinity;
    const look = () => (globalThis.fewest = Math.min(globalThis.fewest, document.querySelectorAll(rows).length));
    new MutationObserver(look).observe(document.querySelector("tbody"), { childList: true });
  }, ROWS);
  const history = await page.evaluate(() => fetch("/api/claude/live/backlog").then((answer) => answer.json()));
  const texts = history.events.map(({ data }) => data.rawLine).reverse();
  await writeFile(join(dir, "purged"), texts.filter((text) => !/prompt [145]"/.test(text)).map((text) => `${text}\n`).join(""));
  await rename(join(dir, "purged"), join(dir, "history.jsonl"));
  await until("the purged rows are gone", async () => !(await said(page)).includes("prompt 4"));
  assert.deepEqual((await said(page)).filter((text) => text.startsWith("prompt")), ["prompt 3", "prompt 2", "prompt 0"]);
  assert.ok(await kept.evaluate((row) => row.isConnected && row.nextElementSibling.matches(".detail")));
  assert.ok((await page.evaluate(() => globalThis.fewest)) >= 3);
  once(await ids(page));
  await append(dir, line("after"));
  await sees(page, "after");
  unproblematic(page);
});

test("more than the ring holds while away is a gap: told once, and reloaded", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, ...lines(3));
  const server = await serve(t, dir);
  const gate = await proxy(t, server.port);
  const page = await tab(await visit(t), gate.url);
  gate.status = 503;
  gate.cut();
  await inState(page, "reconnecting");
  await append(dir, ...lines(1_500, "away"));
  await until("all are read", async () => (await (await fetch(`${server.url}healthz`)).json()).counters.lines >= 1_503);
  gate.status = 0;
  await inState(page, "live");
  await sees(page, "away 1499");
  await page.locator("#live-status", { hasText: "gap reloaded" }).waitFor();
  once(await ids(page));
  assert.equal(await page.locator(`${ROWS}[data-kind=notice]`).count(), 1);
  unproblematic(page);
});

test("ten tabs share one stream, and closing the tab that holds it loses nothing", async (t) => {
  const { dir, server, context, page } = await open(t, lines(3));
  const tabs = [page];
  for (let at = 1; at < 10; at += 1) tabs.push(await tab(context, server.url));
  assert.equal(await streams(server.url), 1);
  await append(dir, line("for all"));
  await Promise.all(tabs.map((other) => sees(other, "for all")));
  for (let left = tabs.length; left > 6; left -= 1) {
    const closing = tabs.shift().close();
    await append(dir, line(`tab ${left} goes`));
    await closing;
    await append(dir, line(`tab ${left} is gone`));
    await Promise.all(tabs.map((other) => sees(other, `tab ${left} is gone`)));
  }
  for (const other of tabs) {
    const shown = await said(other);
    once(shown);
    assert.equal(shown.length, 3 + 1 + 8);
  }
  await until("one stream is left", async () => (await streams(server.url)) === 1);
  unproblematic(...tabs);
});

test("a tab that knows less than the one that takes the stream over is told what it missed", async (t) => {
  const { dir, server, context, page } = await open(t, lines(1));
  const next = await tab(context, server.url);
  const deaf = await context.newPage();
  await deaf.addInitScript(() => {
    const { set } = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, "onmessage");
    Object.defineProperty(BroadcastChannel.prototype, "onmessage", {
      set(hear) {
        set.call(this, (message) => globalThis.isDeaf || hear(message));
      },
    });
  });
  await deaf.goto(server.url);
  await inState(deaf, "live");
  await deaf.evaluate(() => (globalThis.isDeaf = true));
  await append(dir, line("missed"));
  await sees(next, "missed");
  await deaf.evaluate(() => (globalThis.isDeaf = false));
  assert.ok(!(await said(deaf)).includes("missed"));
  await page.close();
  await sees(deaf, "missed");
  await append(dir, line("last"));
  for (const other of [next, deaf]) {
    await sees(other, "last");
    once(await said(other));
  }
});

test("what another tab hears after a tab's head has asked for the backlog, and before its modules run, is not missed", async (t) => {
  const { dir, server, context, page } = await open(t, lines(3));
  const late = await context.newPage();
  const held = new Promise((resume) => late.route("**/static/dom.js", resume));
  const backlog = late.waitForEvent("requestfinished", (request) => request.url().includes("/backlog"));
  await late.goto(server.url, { waitUntil: "commit" });
  await backlog;
  await append(dir, line("between"));
  await sees(page, "between");
  (await held).continue();
  await sees(late, "between");
  await append(dir, line("after"));
  await sees(late, "after");
  once(await said(late));
});

test("a tab that holds the stream and is frozen is relieved of it", async (t) => {
  const { dir, server, context, page } = await open(t, lines(1));
  await page.evaluate(() => {
    BroadcastChannel.prototype.postMessage = () => {};
  });
  const other = await tab(context, server.url, { state: null });
  await inState(other, "live");
  await append(dir, line("after"));
  await sees(other, "after");
  await sees(page, "after");
  await until("the frozen tab's stream is over", async () => (await streams(server.url)) === 1);
});

test("a holder whose timers are slow, as it is hidden, tries again for a tab that is looked at", async (t) => {
  const { dir, server, context, page } = await open(t, lines(1));
  const other = await tab(context, server.url);
  await page.evaluate(() => {
    const { setTimeout } = globalThis;
    globalThis.setTimeout = (step, ms) => setTimeout(step, 1_000 * ms);
  });
  await server.stop();
  await inState(other, "reconnecting");
  await serve(t, dir, { port: server.port });
  await inState(other, "live");
  await append(dir, line("after"));
  await sees(other, "after");
});

test("where tabs cannot choose a holder, each has its own stream", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, line("one"));
  const server = await serve(t, dir);
  const context = await visit(t);
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
  const tabs = [await tab(context, server.url), await tab(context, server.url)];
  assert.equal(await streams(server.url), 2);
  await append(dir, line("two"));
  await Promise.all(tabs.map((other) => sees(other, "two")));
});

test("a page that is loaded while the server is away begins when it is back", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, line("one"));
  const server = await serve(t, dir);
  const gate = await proxy(t, server.port);
  gate.status = 503;
  const page = await tab(await visit(t), gate.url, { state: "reconnecting" });
  gate.status = 0;
  await inState(page, "live");
  await sees(page, "one");
});
