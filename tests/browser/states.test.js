/** States of the page that come rarely: a sound, a record too long, a token. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { Claude } from "./claude.js";
import {
  ROWS,
  claudeDir,
  line,
  serve,
  tab,
  unproblematic,
  until,
  visit,
  write,
} from "./harness.js";

const LIVE = "#sessions-view .badge[data-state=live]";
const WIDTHS = [390, 768, 1440, 2560];
const LONG = "a-word-that-is-far-too-long-for-its-box/".repeat(8);

async function session(dir, title = "One") {
  const claude = new Claude(dir, title);
  await claude.status("busy");
  await claude.begin("go");
  return claude;
}

test("a sound is off at first, and comes with each notification once it is switched on", async (t) => {
  const dir = await claudeDir(t);
  const claude = await session(dir);
  const server = await serve(t, dir);
  const context = await visit(t, { permissions: ["notifications"] });
  await context.addInitScript(() => {
    Object.assign(globalThis, { sounds: 0, shown: [] });
    document.hasFocus = () => false;
    localStorage.claudeLiveNotifies = "true";
    globalThis.Notification = class {
      static requestPermission = async () => "granted";
      constructor(title) {
        globalThis.shown.push(title);
      }
    };
    globalThis.AudioContext = class {
      currentTime = 0;
      createOscillator = () => ({ connect() {}, start: () => (globalThis.sounds += 1), stop() {} });
    };
  });
  const page = await tab(context, server.url, { state: "" });
  await page.waitForSelector(LIVE);
  const heard = () => page.evaluate(() => [globalThis.shown.length, globalThis.sounds]);
  await claude.status("waiting", "permission prompt");
  await until("a notification", async () => (await heard())[0] === 1);
  assert.deepEqual(await heard(), [1, 0]);
  await page.click("#app-choose");
  const box = page.locator("#app-choices input[value=sound]");
  assert.equal(await box.isChecked(), false);
  await box.check();
  assert.deepEqual(await heard(), [1, 1]);
  await page.keyboard.press("Escape");
  await page.reload();
  await page.waitForSelector(".card[data-status=waiting]");
  await page.waitForSelector(LIVE);
  assert.deepEqual(await heard(), [0, 0]);
  await claude.status("idle");
  await until("a notification with a sound", async () => String(await heard()) === "1,1");
  unproblematic(page);
});

test("a record that is too long for the page says so, and the others open", async (t) => {
  const dir = await claudeDir(t);
  const claude = await session(dir);
  await claude.say("far too long");
  const server = await serve(t, dir);
  const context = await visit(t);
  await context.route("**/records?*", async (route) => {
    const answer = await (await route.fetch()).json();
    answer.records[0].data.bytes = 17_800_000;
    await route.fulfill({ json: answer });
  });
  const page = await tab(context, `${server.url}#sessions&open=${claude.id}`, { state: "" });
  const row = (text) => page.locator("#sessions-rows .line", { hasText: text });
  await row("far too long").click();
  await page.locator(".detail", { hasText: "The record has 17.8 MB; the page shows at most 16.8 MB." }).waitFor();
  await row("go").click();
  await page.locator(".detail .whole", { hasText: "go" }).waitFor();
  unproblematic(page);
});

test("without the token's cookie both views say that it is required, and how to give it", async (t) => {
  const dir = await claudeDir(t);
  const claude = await session(dir);
  const file = join(dir, "token");
  await writeFile(file, "correct-horse-battery\n", { mode: 0o600 });
  const args = ["--token-file", file];
  const server = await serve(t, dir, { args });
  const context = await visit(t);
  const page = await tab(context, `${server.url}?token=correct-horse-battery`, { state: "" });
  await page.waitForSelector(LIVE);
  const cookies = await context.cookies();
  await server.stop();
  await context.clearCookies();
  await serve(t, dir, { args, port: server.port });
  await page.waitForSelector("#sessions-view .badge[data-state=locked]", { timeout: 45_000 });
  assert.equal(await page.textContent("#sessions-view .badge"), "token required");
  assert.match(await page.textContent("#app-banner"), /^Open this address once with \/\?token=…$/);
  assert.match(await page.getAttribute("#app-icon", "href"), /favicon-off/);
  assert.ok(await page.locator(`[data-session-id="${claude.id}"]`).isVisible());
  await page.click("[data-view=live]");
  assert.equal(await page.textContent("#claude-live-conn"), "token required");
  await context.addCookies(cookies);
  await page.waitForSelector("#claude-live-conn[data-state=live]", { timeout: 45_000 });
  await page.locator("#app-banner").waitFor({ state: "hidden" });
  await page.goto(server.url);
  await page.waitForSelector(LIVE);
  await context.clearCookies();
  await page.goto(server.url);
  await page.locator("body", { hasText: "token" }).waitFor();
  assert.equal(await page.locator("main").count(), 0);
});

/** Returns pairs of texts whose lines cover each other, apart from bars that keep their place. */
function coveredTexts(page) {
  return page.evaluate(() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const lines = [];
    for (let node; (node = texts.nextNode()); ) {
      const holder = node.parentElement;
      const isShown = node.data.trim() && holder.checkVisibility({ checkOpacity: true });
      if (!isShown || holder.closest("option, [popover], dialog")) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      let [left, top, right, bottom] = [0, 0, innerWidth, innerHeight];
      let bar = "";
      for (let box = holder; box; box = box.parentElement) {
        const { overflow, position, display, clipPath } = getComputedStyle(box);
        if (position === "sticky") bar = box.className || box.tagName;
        // For screen readers alone.
        if (clipPath !== "none") right = left;
        if (display === "inline" || overflow === "visible") continue;
        const edge = box.getBoundingClientRect();
        [left, right] = [Math.max(left, edge.left), Math.min(right, edge.right)];
        [top, bottom] = [Math.max(top, edge.top), Math.min(bottom, edge.bottom)];
      }
      for (const it of range.getClientRects()) {
        const line = {
          text: node.data.slice(0, 60),
          node,
          bar,
          left: Math.max(left, it.left),
          right: Math.min(right, it.right),
          top: Math.max(top, it.top),
          bottom: Math.min(bottom, it.bottom),
        };
        if (line.right - line.left > 2 && line.bottom - line.top > 2) lines.push(line);
      }
    }
    const covers = (a, b) =>
      a.node !== b.node &&
      a.bar === b.bar &&
      Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
      Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
    const pairs = lines.flatMap((a, at) => {
      const covered = lines.slice(at + 1).filter((b) => covers(a, b));
      return covered.map((b) => `${a.text} | ${b.text}`);
    });
    return { count: lines.length, pairs: pairs.slice(0, 5) };
  });
}

test("no text covers another at four widths: cards, a session with an open record, Live rows", async (t) => {
  const dir = await claudeDir(t);
  const prompts = Array.from({ length: 30 }, (_, at) =>
    line(`prompt ${at} ${at % 3 ? "" : LONG}`, { project: `/p/${at % 4 ? "a" : LONG}` }),
  );
  await write(dir, ...prompts);
  const project = `/home/${LONG.slice(0, 150)}`;
  const claude = new Claude(dir, `Title ${LONG}`, { branch: LONG, project });
  await claude.begin(`a prompt with ${LONG}`);
  for (const text of ["short", LONG, "three\nlines of\ntext"]) {
    await claude.result(await claude.call("Bash", { command: text }), text, { isError: true });
    await claude.say(text);
  }
  await claude.call("Agent", { description: LONG, prompt: "x", subagent_type: "Explore" });
  await claude.call("Bash", { command: LONG });
  await claude.status("waiting", "permission prompt");
  for (let at = 0; at < 6; at += 1) {
    const other = new Claude(dir, at % 2 ? `Other ${at}` : `Other ${LONG}`);
    await other.begin("go");
    await other.call("Read", { file_path: at % 2 ? "/a" : LONG });
  }
  const server = await serve(t, dir);
  const page = await tab(await visit(t), server.url, { state: "" });
  await page.waitForSelector(LIVE);
  await until("all cards", async () => (await page.locator(".card").count()) === 7);
  const check = async (state, least) => {
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      const { count, pairs } = await coveredTexts(page);
      assert.deepEqual(pairs, [], `${state} at ${width} px`);
      assert.ok(count >= least, `${state} at ${width} px: ${count} lines`);
    }
  };
  await check("cards", 20);
  await page.locator(`[data-session-id="${claude.id}"]`).click();
  await page.locator("#sessions-rows li").nth(5).waitFor();
  await page.locator("#sessions-rows .open").nth(1).click();
  await page.locator(".detail .whole").first().waitFor();
  await check("a session", 30);
  await page.click("[data-view=live]");
  await page.locator(ROWS).nth(20).waitFor();
  await page.locator(`${ROWS} .open`).first().click();
  await check("Live rows", 30);
  unproblematic(page);
});
