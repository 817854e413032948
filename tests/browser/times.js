/**
 * Measures how fast the page is, beside the same browser or server with less to do:
 * `node times.js`, which `make bench ARGS=page` runs on the release binary. Prints one line of JSON
 * with times in milliseconds.
 */
import { get } from "node:http";

import { changes, floods, history, sessions } from "./agentstimes.js";
import { launch } from "./machine.js";
import { ROWS, append, claudeDir, flood, line, lines, serve, until, write } from "./program.js";
import { QUIET_MS, VIEWPORT, tracing } from "./measure.js";

/** Navigations, and single prompts, in turns with their peers. */
const ROUNDS = 15;
const HISTORY_LINES = 1_500;
const CARDS = "#sessions-view:not([hidden]) .card";
/** The rows that the page shows at most, and their cells. */
const BARE = { rows: 500, cells: 6 };

const ends = [];
const t = { after: (end) => ends.unshift(end) };
try {
  const browser = await launch();
  t.after(() => browser.close());
  console.log(
    JSON.stringify({
      ...(await navigations(browser)),
      ...(await prompts(browser)),
      ...(await tasks(browser)),
      ...(await changes(t, browser, ROUNDS)),
      ...(await history(t, browser)),
      ...(await floods(t, browser)),
    }),
  );
} finally {
  for (const end of ends) await end();
}

/**
 * Measures from navigation to the first rows, to the cards of 200 sessions that are in view, and to
 * the shortest answer of the server.
 */
async function navigations(browser) {
  const dir = await claudeDir(t);
  await write(dir, ...lines(HISTORY_LINES));
  const { url } = await serve(t, dir);
  const agents = await sessions(t);
  const times = { firstRows: [], firstCards: [], emptyPage: [] };
  await navigation(browser, url, ROWS);
  for (let round = 0; round < ROUNDS; round += 1) {
    times.firstRows.push(await navigation(browser, url, ROWS));
    times.firstCards.push(await navigation(browser, agents.url, CARDS));
    times.emptyPage.push(
      await navigation(browser, `${url}api/claude/live/backlog?limit=1`, "body"),
    );
  }
  return times;
}

/** The page reports the time by itself, since a question from outside would be work for it. */
async function navigation(browser, url, wanted) {
  const context = await browser.newContext({ viewport: VIEWPORT });
  const page = await context.newPage();
  await page.addInitScript(
    `const look = () => (document.querySelector("${wanted}") ? setTimeout(() => console.debug(performance.now())) : requestAnimationFrame(look)); look();`,
  );
  const report = page.waitForEvent("console", (message) => message.type() === "debug");
  await page.goto(url, { waitUntil: "commit" });
  const time = Number((await report).text());
  await context.close();
  return time;
}

/** Measures from an append to the row, and to a client of the stream that is not a browser. */
async function prompts(browser) {
  const { dir, url, page } = await open(browser);
  await page.evaluate(() => {
    globalThis.seen = new Map();
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes)
        for (const node of addedNodes)
          globalThis.seen.set(node.querySelector(".said")?.textContent, Date.now());
    }).observe(document.querySelector("tbody"), { childList: true });
  });
  const timeOf = listen(`${url}api/claude/stream`);
  const times = { row: [], socket: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    const text = `lone ${round}!`;
    const quiet = Date.now() + QUIET_MS;
    await until("a quiet second", () => Date.now() > quiet);
    const start = Date.now();
    await append(dir, line(text));
    times.row.push(
      (await until("the row", () => page.evaluate((text) => globalThis.seen.get(text), text))) -
        start,
    );
    times.socket.push((await until("the event", () => timeOf(text))) - start);
  }
  await page.close();
  return times;
}

/** Returns a function that returns the time at which a text came over a stream, if it did. */
function listen(url) {
  const chunks = [];
  const request = get(url, (answer) =>
    answer.on("data", (chunk) => chunks.push({ at: Date.now(), text: String(chunk) })),
  );
  request.on("error", () => {});
  t.after(() => request.destroy());
  return (text) => chunks.find((chunk) => chunk.text.includes(text))?.at;
}

/** Measures the processor time of the page's longest task in a flood, and of one with bare rows. */
async function tasks(browser) {
  const { dir, page } = await open(browser);
  const ofPage = await tracing(page);
  await flood(dir);
  await until("the newest row", () =>
    page.evaluate((rows) => document.querySelector(rows).textContent.includes("flood 9999"), ROWS),
  );
  const longestTask = await ofPage();
  await page.goto("about:blank");
  const ofBare = await tracing(page);
  await page.evaluate(({ rows, cells }) => {
    const row = () => {
      const node = document.createElement("tr");
      for (let at = 0; at < cells; at += 1)
        node.appendChild(document.createElement("td")).textContent = "a few words";
      return node;
    };
    document.body
      .appendChild(document.createElement("table"))
      .append(...Array.from({ length: rows }, row));
    return document.body.offsetHeight;
  }, BARE);
  return { longestTask, bareTask: await ofBare() };
}

/** Opens a page on a history of its own. */
async function open(browser) {
  const dir = await claudeDir(t);
  await write(dir, ...lines(200));
  const { url } = await serve(t, dir);
  const page = await browser.newPage({ viewport: VIEWPORT });
  await page.goto(url);
  await page.waitForSelector("#claude-live-conn[data-state=live]");
  return { dir, url, page };
}
