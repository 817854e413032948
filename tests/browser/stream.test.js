/** Reconnects, gaps, resets and many tabs: no row is lost, and none is there twice. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { chmod, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import {
  PATIENCE_MS,
  ROWS,
  append,
  claudeDir,
  ids,
  inState,
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

function once(texts) {
  assert.equal(new Set(texts).size, texts.length, `twice in ${texts}`);
}

const streams = async (url) => (await (await fetch(`${url}healthz`)).json()).counters.subscribers;

test("after a restart the page continues with its open rows, and no row is lost or doubled", async (t) => {
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
  assert.deepEqual(shown, [
    "after",
    "while down",
    "before 4",
    "before 3",
    "before 2",
    "before 1",
    "before 0",
  ]);
  once(await ids(page));
  assert.ok(
    await detail.evaluate(
      (node) => node.isConnected && node.previousElementSibling.textContent.includes("before 3"),
    ),
  );
  await page.locator("#app-status", { hasText: "gap reloaded" }).waitFor();
  unproblematic(page);
});

/**
 * Starts a proxy in front of the program that can cut connections, refuse requests, and wait for a
 * `stall` before it passes on more of an answer.
 */
async function proxy(t, port) {
  const open = new Set();
  const gate = { status: 0, requests: [], cut: () => open.forEach((socket) => socket.destroy()) };
  const server = createServer(async (request, response) => {
    gate.requests.push(request.url);
    if (gate.status && request.url.startsWith("/api"))
      return response.writeHead(gate.status, { "retry-after": "1" }).end("{}");
    const abort = new AbortController();
    response.on("close", () => abort.abort());
    try {
      const answer = await fetch(`http://127.0.0.1:${port}${request.url}`, {
        signal: abort.signal,
      });
      response.writeHead(
        answer.status,
        Object.fromEntries(
          [...answer.headers].filter(
            ([name]) =>
              !["content-encoding", "transfer-encoding", "connection", "content-length"].includes(
                name,
              ),
          ),
        ),
      );
      for await (const part of answer.body) {
        await gate.stall;
        response.write(part);
      }
      response.end();
    } catch {
      response.destroy();
    }
  });
  server.on(
    "connection",
    (socket) => (open.add(socket), socket.on("close", () => open.delete(socket))),
  );
  await new Promise((resume) => server.listen(0, "127.0.0.1", resume));
  t.after(() => (gate.cut(), new Promise((resume) => server.close(resume))));
  gate.url = `http://127.0.0.1:${server.address().port}/`;
  return gate;
}

test("after a cut connection and 503s the page reconnects and says how many events were replayed", async (t) => {
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
  await until(
    "a refused try",
    () => gate.requests.filter((url) => url.startsWith("/api/claude/stream")).length > 2,
  );
  gate.status = 0;
  await inState(page, "live");
  await settled(page, 7);
  once(await said(page));
  await page.locator("#app-status", { hasText: /: 4 replayed/ }).waitFor();
  unproblematic(page);
});

test("after a while without an answer the page says since when, and what to do", async (t) => {
  const { server, page } = await open(t, lines(1));
  await server.stop();
  await inState(page, "offline");
  assert.match(await page.textContent("#claude-live-conn"), /^offline since \d/);
  assert.match(await page.textContent("#app-banner"), /Start claude-live there again/);
  assert.match(await page.getAttribute("#app-icon", "href"), /favicon-off/);
});

test("a visible page tries to reconnect at least every five seconds", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, line("one"));
  const server = await serve(t, dir);
  const context = await visit(t);
  await context.clock.install();
  const page = await tab(context, server.url);
  await server.stop();
  await inState(page, "reconnecting");
  const tries = [];
  page.on(
    "request",
    (request) => /claude\/stream/.test(request.url()) && tries.push(request.url()),
  );
  await until("twelve tries in a minute", async () => {
    await context.clock.runFor(5_100);
    return tries.length >= 12;
  });
});

test("the page asks for a token if the server requires one", async (t) => {
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
  assert.match(await page.textContent("#app-banner"), /token/);
  const other = await tab(page.context(), `${server.url}?token=correct-horse-battery`, {
    state: null,
  });
  await inState(page, "live");
  await inState(other, "live");
  assert.equal(await page.locator("#app-banner").isVisible(), false);
});

test("a silent connection is opened again", async (t) => {
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

test("a purge removes its rows without flicker, and open rows stay open", async (t) => {
  const { dir, page } = await open(t, lines(6));
  await page.locator(ROWS).nth(2).click();
  const kept = await page.locator(ROWS).nth(2).elementHandle();
  await page.evaluate((rows) => {
    globalThis.fewest = Infinity;
    const look = () =>
      (globalThis.fewest = Math.min(globalThis.fewest, document.querySelectorAll(rows).length));
    new MutationObserver(look).observe(document.querySelector("tbody"), { childList: true });
  }, ROWS);
  const history = await page.evaluate(() =>
    fetch("/api/claude/live/backlog").then((answer) => answer.json()),
  );
  const texts = history.events.map(({ data }) => data.rawLine).reverse();
  await writeFile(
    join(dir, "purged"),
    texts
      .filter((text) => !/prompt [145]"/.test(text))
      .map((text) => `${text}\n`)
      .join(""),
  );
  await rename(join(dir, "purged"), join(dir, "history.jsonl"));
  await until("the purged rows to leave", async () => !(await said(page)).includes("prompt 4"));
  assert.deepEqual(
    (await said(page)).filter((text) => text.startsWith("prompt")),
    ["prompt 3", "prompt 2", "prompt 0"],
  );
  assert.ok(
    await kept.evaluate((row) => row.isConnected && row.nextElementSibling.matches(".detail")),
  );
  assert.ok((await page.evaluate(() => globalThis.fewest)) >= 3);
  once(await ids(page));
  await append(dir, line("after"));
  await sees(page, "after");
  unproblematic(page);
});

/** Waits until the program has read so many lines. */
async function hasRead(server, count) {
  await until(`${count} lines to be read`, async () => {
    const health = await (await fetch(`${server.url}healthz`)).json();
    return health.counters.lines >= count;
  });
}

test("after a gap the newest prompts are on top, and the last line says so", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, ...lines(3));
  const server = await serve(t, dir);
  const gate = await proxy(t, server.port);
  const page = await tab(await visit(t), gate.url);
  gate.status = 503;
  gate.cut();
  await inState(page, "reconnecting");
  await append(dir, ...lines(1_500, "away"));
  await hasRead(server, 1_503);
  gate.status = 0;
  await inState(page, "live");
  await sees(page, "away 1499");
  await page.locator("#app-status", { hasText: /gap reloaded \d/ }).waitFor();
  const newest = Array.from({ length: 200 }, (_, at) => `away ${1_499 - at}`);
  assert.deepEqual((await said(page)).slice(0, 200), newest);
  assert.equal(await page.locator(`${ROWS}[data-kind=notice]`).count(), 0);
  once(await ids(page));
  unproblematic(page);
});

test("a flood that ends with a resync leaves the newest prompt on top", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, ...lines(3));
  const server = await serve(t, dir);
  const gate = await proxy(t, server.port);
  const page = await tab(await visit(t), gate.url);
  let flow;
  gate.stall = new Promise((resume) => (flow = resume));
  // More than fits into the sockets' buffers and then into the server's ring.
  const padding = { padding: "x".repeat(4_000) };
  for (let part = 0; part < 8; part += 1) {
    await append(dir, ...lines(1_000, `part ${part} prompt`, padding));
  }
  await hasRead(server, 8_003);
  flow();
  await page.locator("#app-status", { hasText: /gap reloaded \d/ }).waitFor();
  await until("the newest prompt on top", async () => {
    return (await said(page))[0] === "part 7 prompt 999";
  });
  const newest = Array.from({ length: 200 }, (_, at) => `part 7 prompt ${999 - at}`);
  assert.deepEqual((await said(page)).slice(0, 200), newest);
  once(await ids(page));
  unproblematic(page);
});

test("ten tabs share one stream, and closing the leader loses nothing", async (t) => {
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
  await until("one stream to be left", async () => (await streams(server.url)) === 1);
  unproblematic(...tabs);
});

test("a tab that has missed events gets them from the next leader", async (t) => {
  const { dir, server, context, page } = await open(t, lines(1));
  const next = await tab(context, server.url);
  const behind = await context.newPage();
  await behind.addInitScript(() => {
    const { set } = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, "onmessage");
    Object.defineProperty(BroadcastChannel.prototype, "onmessage", {
      set(listener) {
        set.call(this, (message) => {
          if (!globalThis.dropsPosts) return listener(message);
          const isLine = ({ type }) => type === "history.append";
          globalThis.hasDropped ||= message.data.messages?.some(isLine);
        });
      },
    });
  });
  await behind.goto(server.url);
  await inState(behind, "live");
  await behind.evaluate(() => (globalThis.dropsPosts = true));
  await append(dir, line("missed"));
  await sees(next, "missed");
  await until("a dropped post", () => behind.evaluate(() => globalThis.hasDropped ?? false));
  assert.ok(!(await said(behind)).includes("missed"));
  await behind.evaluate(() => (globalThis.dropsPosts = false));
  await page.close();
  await sees(behind, "missed");
  await append(dir, line("last"));
  for (const other of [next, behind]) {
    await sees(other, "last");
    once(await said(other));
  }
});

test("a tab that opens while the leader dies misses nothing", async (t) => {
  const { dir, server, context, page } = await open(t, lines(3));
  const early = await (await fetch(`${server.url}api/claude/live/backlog?limit=200`)).text();
  await append(dir, line("before its modules run"));
  await sees(page, "before its modules run");
  const late = await context.newPage();
  await late.addInitScript(() => {
    new BroadcastChannel("claude-live").onmessage = () => (globalThis.hasHeard = true);
  });
  const held = new Promise((resume) => late.route("**/backlog?*", resume));
  await late.goto(server.url, { waitUntil: "domcontentloaded" });
  const request = await held;
  await append(dir, line("before its backlog comes"));
  await sees(page, "before its backlog comes");
  await until("a post of the leader", () => late.evaluate(() => globalThis.hasHeard ?? false));
  await page.close();
  await request.fulfill({ contentType: "application/json", body: early });
  await inState(late, "live");
  for (const text of ["before its modules run", "before its backlog comes"]) await sees(late, text);
  await append(dir, line("after"));
  await sees(late, "after");
  once(await said(late));
});

test("a backlog that is not answered is requested again", async (t) => {
  const { dir, page } = await open(t, lines(3));
  const requests = [];
  await page.route("**/backlog?*", (route) => requests.push(route) > 1 && route.continue());
  await write(dir, ...lines(2, "other"));
  await until("the lost request", () => requests.length > 0);
  await append(dir, line("after"));
  await sees(page, "after");
  const hasNew = async () => (await said(page)).filter((text) => /^prompt/.test(text)).length === 0;
  await until("the purged rows to leave", hasNew, 3 * PATIENCE_MS);
  for (const text of ["other 0", "other 1", "after"]) await sees(page, text);
  once(await ids(page));
});

test("a tab misses nothing between its backlog and the run of its modules", async (t) => {
  const { dir, server, context, page } = await open(t, lines(3));
  const late = await context.newPage();
  const held = new Promise((resume) => late.route("**/static/dom.js", resume));
  const backlog = late.waitForEvent("requestfinished", (request) =>
    request.url().includes("/backlog"),
  );
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

test("a frozen leader is replaced", async (t) => {
  const { dir, server, context, page } = await open(t, lines(1));
  await page.evaluate(() => {
    BroadcastChannel.prototype.postMessage = () => {};
  });
  const other = await tab(context, server.url, { state: null });
  await inState(other, "live");
  await append(dir, line("after"));
  await sees(other, "after");
  await sees(page, "after");
  await until("the end of the frozen tab's stream", async () => (await streams(server.url)) === 1);
});

test("a hidden leader, whose timers are slow, reconnects for a visible tab", async (t) => {
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

test("without locks each tab has a stream of its own", async (t) => {
  const dir = await claudeDir(t);
  await write(dir, line("one"));
  const server = await serve(t, dir);
  const context = await visit(t);
  await context.addInitScript(() =>
    Object.defineProperty(Navigator.prototype, "locks", { value: undefined }),
  );
  const tabs = [await tab(context, server.url), await tab(context, server.url)];
  assert.equal(await streams(server.url), 2);
  await append(dir, line("two"));
  await Promise.all(tabs.map((other) => sees(other, "two")));
});

test("a page that is loaded while the server is away starts when it is back", async (t) => {
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
