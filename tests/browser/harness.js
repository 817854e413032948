/** The page of the program, in Chromium. */
import assert from "node:assert/strict";
import { after } from "node:test";

import { launch } from "./machine.js";
import { PATIENCE_MS, ROWS, claudeDir, serve, until, write } from "./program.js";

export * from "./program.js";

export const WIDTHS = [2560, 1440, 1024, 768, 390];

let shared;

/** One Chromium for all tests of a file. */
async function browser() {
  shared ??= await launch();
  return shared;
}

after(() => shared?.close());

/** Starts the program on a history, and a page that shows it. */
export async function open(t, texts, options = {}) {
  const dir = await claudeDir(t);
  if (texts) await write(dir, ...texts);
  const server = await serve(t, dir, options);
  const context = await visit(t, options);
  const page = await tab(context, server.url + (options.hash ?? ""), options);
  return { dir, server, context, page };
}

/** Opens a browser whose storage, locks and channels no other test shares. */
export async function visit(t, { width = 1440, height = 900, scheme = "light", ...more } = {}) {
  const context = await (
    await browser()
  ).newContext({
    viewport: { width, height },
    colorScheme: scheme,
    ...pick(more, ["reducedMotion", "permissions"]),
  });
  t.after(() => context.close());
  return context;
}

function pick(object, names) {
  return Object.fromEntries(
    names.filter((name) => name in object).map((name) => [name, object[name]]),
  );
}

/**
 * Opens a tab. Errors in the console and violations of the content security policy are problems,
 * but for those that are `allowed`.
 */
export async function tab(
  context,
  url,
  { allowed = /net::ERR_|Failed to load resource/, state = "live" } = {},
) {
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error.stack)));
  page.on(
    "console",
    (message) =>
      message.type() === "error" &&
      !allowed.test(message.text()) &&
      page.problems.push(message.text()),
  );
  await page.addInitScript(() =>
    addEventListener("securitypolicyviolation", ({ blockedURI, violatedDirective }) =>
      console.error(`policy: ${violatedDirective} ${blockedURI}`),
    ),
  );
  await page.goto(url);
  if (state)
    await page.waitForSelector(`#claude-live-conn[data-state=${state}]`, { timeout: PATIENCE_MS });
  return page;
}

export function unproblematic(...pages) {
  for (const page of pages) assert.deepEqual(page.problems, []);
}

/** Returns the row of a text. */
export function row(page, text) {
  const said = page.locator(".said", { hasText: new RegExp(`^${text}$`) });
  return page.locator(ROWS).filter({ has: said });
}

/** Returns the rows' texts, newest first. */
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
  await page.waitForSelector(`#claude-live-conn[data-state=${state}]`, {
    timeout: 3 * PATIENCE_MS,
  });
}

export async function settled(page, count) {
  return until(`${count} rows`, async () => (await page.locator(ROWS).count()) === count);
}
