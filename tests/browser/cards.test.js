/** What cards say and look like, and the way back from them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { test } from "node:test";

import { Claude } from "./claude.js";
import { claudeDir, line, serve, tab, unproblematic, until, visit, write } from "./harness.js";

const LIVE = "#sessions-view .badge[data-state=live]";

async function start(t, dir, options = {}) {
  const server = await serve(t, dir);
  const context = await visit(t, options);
  const page = await tab(context, server.url, { state: "" });
  await page.waitForSelector(LIVE);
  return page;
}

/** Returns sessions with processes of their own, the first of which wait. */
async function sessions(t, dir, ...statuses) {
  const made = [];
  for (const [at, status] of statuses.entries()) {
    const child = spawn("sleep", ["600"]);
    t.after(() => child.kill());
    const project = `/home/demo/src/project-${at}`;
    const claude = new Claude(dir, `Number ${at}`, { pid: child.pid, project });
    await claude.begin("go");
    await claude.status(status, status === "waiting" ? "permission prompt" : undefined);
    made.push(claude);
  }
  return made;
}

const card = (page, { id }) => page.locator(`[data-session-id="${id}"]`);

test("Back in the browser takes back the opening of a session and the change of the view", async (t) => {
  const dir = await claudeDir(t);
  const [first, second] = await sessions(t, dir, "busy", "busy");
  const page = await start(t, dir);
  const isOpen = (claude) => card(page, claude).locator(".title[aria-expanded=true]").waitFor();
  await card(page, first).locator(".title").click();
  await isOpen(first);
  await card(page, second).locator(".title").click();
  await isOpen(second);
  await page.click("nav [data-view=live]");
  await page.locator("#live-view").waitFor();
  await page.goBack();
  await isOpen(second);
  await page.goBack();
  await isOpen(first);
  await page.goBack();
  await page.locator("#sessions-one").waitFor({ state: "hidden" });
  await page.locator("#sessions-view").waitFor();
  await page.goForward();
  await isOpen(first);
  unproblematic(page);
});

test("projects have colours of their own, the same in each view", async (t) => {
  const dir = await claudeDir(t);
  const statuses = Array.from({ length: 12 }, () => "busy");
  const made = await sessions(t, dir, ...statuses);
  const page = await start(t, dir);
  await card(page, made[11]).waitFor();
  const hues = () =>
    page.$$eval("[data-of=project]", (nodes) =>
      Object.fromEntries(
        nodes.map((node) => [node.textContent, getComputedStyle(node).getPropertyValue("--hue")]),
      ),
    );
  assert.equal(new Set(Object.values(await hues())).size, 12);
  const rows = made.map(({ project, id }) => line(`of ${project}`, { project, sessionId: id }));
  await write(dir, ...rows);
  await page.click("nav [data-view=live]");
  const cells = page.locator("#live-view tbody .project button");
  await until("all rows", async () => (await cells.count()) >= 12);
  const inRows = await cells.evaluateAll((nodes) =>
    Object.fromEntries(
      nodes.map((node) => [node.textContent, getComputedStyle(node).getPropertyValue("--hue")]),
    ),
  );
  await page.click("nav [data-view=sessions]");
  await card(page, made[0]).waitFor();
  assert.deepEqual(await hues(), inRows);
  unproblematic(page);
});

test("the times of headings and errors tick", async (t) => {
  const dir = await claudeDir(t);
  const [one, other] = await sessions(t, dir, "waiting", "waiting");
  const failure = { subtype: "api_error", error: { formatted: "529" }, retryInMs: 1 };
  await one.append(one.record("system", failure));
  await other.append({ ...other.record("system", failure), timestamp: undefined });
  const page = await start(t, dir);
  const heading = page.locator(".group[data-status=waiting] span", { hasText: "longest" });
  const error = card(page, one).locator(".error");
  const seconds = async (node) => Number(/(\d+) s/.exec(await node.textContent())[1]);
  const before = [await seconds(heading), await seconds(error)];
  await until("both go on", async () => {
    const now = [await seconds(heading), await seconds(error)];
    return now.every((value, at) => value >= before[at] + 2);
  });
  assert.match(await error.textContent(), /^1 API error, last \d+ s ago: 529$/);
  assert.equal(await card(page, other).locator(".error").textContent(), "1 API error: 529");
});

test("a session whose process dies at work has ended mid-turn, and one that rested has not", async (t) => {
  const dir = await claudeDir(t);
  const [died, left] = await sessions(t, dir, "busy", "idle");
  await died.call("Bash", { command: "make" });
  await left.say("Done.", { stop: "end_turn" });
  await left.endTurn();
  const page = await start(t, dir);
  await card(page, died).locator(".now", { hasText: "Bash make" }).waitFor();
  await rm(died.entry);
  await rm(left.entry);
  const heading = page.locator(".group[data-status=ended]");
  await heading.filter({ hasText: "2 ended in the last 24 hours1 mid-turn" }).waitFor();
  await heading.locator("button").click();
  await card(page, died).locator(".state", { hasText: /^ended mid-turn \d+ s ago$/ }).waitFor();
  await card(page, left).locator(".state", { hasText: /^ended \d+ s ago$/ }).waitFor();
});

test("a card and its opened session tell what the agent may do unasked", async (t) => {
  const dir = await claudeDir(t);
  const [free, asking] = await sessions(t, dir, "busy", "busy");
  const mode = { type: "permission-mode", permissionMode: "bypassPermissions" };
  await free.append({ ...mode, sessionId: free.id });
  const page = await start(t, dir);
  const where = (claude) => card(page, claude).locator(".where");
  await where(free).filter({ hasText: /^project-0 · main · bypasses permissions$/ }).waitFor();
  await where(asking).filter({ hasText: /^project-1 · main$/ }).waitFor();
  await card(page, free).locator(".title").click();
  await page.locator("#sessions-figures", { hasText: "bypasses permissions" }).waitFor();
});

test("on a telephone an opened session fills the window below the tools", async (t) => {
  const dir = await claudeDir(t);
  const made = await sessions(t, dir, ...Array.from({ length: 8 }, () => "busy"));
  const page = await start(t, dir, { width: 390, height: 844 });
  await card(page, made[4]).locator(".title").click();
  await page.locator("#sessions-rows li").first().waitFor();
  await until("the session is in sight", async () => {
    const { y, height } = await page.locator("#sessions-one").boundingBox();
    return y >= 0 && y < 844 * 0.2 && height > 844 * 0.75;
  });
});
