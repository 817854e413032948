/**
 * The real binary on a temporary directory, and Chromium on its page.
 *
 * Everything that was started is ended with the test that started it. Nothing sleeps: `until` waits for what is needed.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { appendFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after } from "node:test";

import { BINARY, launch } from "./machine.js";

/** Where the page's files are taken from while somebody works on them; else out of the binary. */
const STATIC = process.env.CLAUDE_LIVE_STATIC ? ["--static", process.env.CLAUDE_LIVE_STATIC] : [];

/** Longer than this nothing that is waited for takes, on a busy machine. */
export const PATIENCE_MS = 15_000;
const LOOK_EVERY_MS = 15;

export const WIDTHS = [1440, 1024, 768, 390];
export const ROWS = "#claude-live-table tbody tr[data-event-id]";

let shared;

/** One Chromium for a file of tests. */
async function browser() {
  shared ??= await launch();
  return shared;
}

after(() => shared?.close());

/** What `step` gives, once it gives anything but false, null or undefined. */
export async function until(what, step, patience = PATIENCE_MS) {
  for (const end = Date.now() + patience; ; ) {
    const found = await step();
    if (found !== false && found !== null && found !== undefined) return found;
    assert.ok(Date.now() < end, `waited in vain: ${what}`);
    await new Promise((resume) => setTimeout(resume, LOOK_EVERY_MS));
  }
}

/** A Claude directory of the test's own. */
export async function claudeDir(t) {
  const dir = await mkdtemp(join(tmpdir(), "claude-live-page-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** A line as Claude Code writes it. */
export function line(display, more = {}) {
  return JSON.stringify({ display, pastedContents: {}, timestamp: Date.now(), project: "/home/demo/alpha", sessionId: "0b6f3c52-1111-4a7e-9c11-3f1f0a2b0001", ...more });
}

/** Lines whose prompts are `prefix 0` to `prefix count-1`. */
export function lines(count, prefix = "prompt", more = {}) {
  return Array.from({ length: count }, (_, at) => line(`${prefix} ${at}`, more));
}

export async function write(dir, ...texts) {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, "history.jsonl"), texts.map((text) => `${text}\n`).join(""));
}

export async function append(dir, ...texts) {
  await appendFile(join(dir, "history.jsonl"), texts.map((text) => `${text}\n`).join(""));
}

/** Starts the program, on the port it had before where one is given. */
export async function serve(t, dir, { port = 0, args = [] } = {}) {
  const child = spawn(BINARY, ["--claude", dir, "--port", String(port), "--quiet", ...STATIC, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resume) => child.once("exit", resume));
  const stop = (signal = "SIGKILL") => (child.kill(signal), ended);
  t.after(() => stop());
  const said = new Promise((resume, reject) => {
    createInterface({ input: child.stdout }).once("line", resume);
    child.once("exit", (code) => reject(new Error(`${BINARY} ended with ${code}`)));
  });
  const url = (await said).replace("listening on ", "");
  return { url, port: Number(new URL(url).port), stop };
}

/** The program on a history, and a page that shows it. */
export async function open(t, texts, options = {}) {
  const dir = await claudeDir(t);
  if (texts) await write(dir, ...texts);
  const server = await serve(t, dir, options);
  const context = await visit(t, options);
  const page = await tab(context, server.url + (options.hash ?? ""), options);
  return { dir, server, context, page };
}

/** A browser of its own: storage, locks and channels are not shared with other tests. */
export async function visit(t, { width = 1440, height = 900, scheme = "light", ...more } = {}) {
  const context = await (await browser()).newContext({ viewport: { width, height }, colorScheme: scheme, ...pick(more, ["reducedMotion", "permissions"]) });
  t.after(() => context.close());
  return context;
}

function pick(object, names) {
  return Object.fromEntries(names.filter((name) => name in object).map((name) => [name, object[name]]));
}

/** A tab that fails its test by any error in the console or of the content security policy, but for what is `allowed`. */
export async function tab(context, url, { allowed = /net::ERR_|Failed to load resource/, state = "live" } = {}) {
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error.stack)));
  page.on("console", (message) => message.type() === "error" && !allowed.test(message.text()) && page.problems.push(message.text()));
  await page.addInitScript(() => addEventListener("securitypolicyviolation", ({ blockedURI, violatedDirective }) => console.error(`policy: ${violatedDirective} ${blockedURI}`)));
  await page.goto(url);
  if (state) await page.waitForSelector(`#claude-live-conn[data-state=${state}]`, { timeout: PATIENCE_MS });
  return page;
}

export function unproblematic(...pages) {
  for (const page of pages) assert.deepEqual(page.problems, []);
}

/** The rows' words, newest first. */
export function said(page) {
  return page.$$eval(`${ROWS} .said`, (nodes) => nodes.map((node) => node.textContent));
}

export async function sees(page, text) {
  return until(`a row says ${text}`, async () => (await said(page)).includes(text));
}

export async function ids(page) {
  return page.$$eval(ROWS, (rows) => rows.map((row) => row.dataset.eventId));
}

export async function inState(page, state) {
  await page.waitForSelector(`#claude-live-conn[data-state=${state}]`, { timeout: 3 * PATIENCE_MS });
}

export async function settled(page, count) {
  return until(`${count} rows`, async () => (await page.locator(ROWS).count()) === count);
}
