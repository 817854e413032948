/**
 * How fast the page is, beside what the same browser or the same server does with less: `node times.js`, which
 * `make bench ARGS=page` runs on the release binary. Prints one line of JSON; all times are in milliseconds.
 */
import { get } from "node:http";

import { launch } from "./machine.js";
import { ROWS, append, claudeDir, flood, line, lines, serve, until, write } from "./program.js";

/** Navigations, and prompts alone; in turns with what stands beside them. */
const ROUNDS = 15;
const HISTORY_LINES = 1_500;
const VIEWPORT = { width: 1440, height: 900 };
/** After so long the page draws the next event at once. */
const QUIET_MS = 1_050;
/** As many rows as the page shows at most, and as many cells. */
const BARE = { rows: 500, cells: 6 };

const ends = [];
const t = { after: (end) => ends.unshift(end) };
try {
  const browser = await launch();
  t.after(() => browser.close());
  console.log(JSON.stringify({ ...(await navigations(browser)), ...(await prompts(browser)), ...(await tasks(browser)) }));
} finally {
  for (const end of ends) await end();
}

/** From navigation to the first rows on the screen, and to those of the shortest answer there is. */
async function navigations(browser) {
  const dir = await claudeDir(t);
  await write(dir, ...lines(HISTORY_LINES));
  const { url } = await serve(t, dir);
  const times = { firstRows: [], emptyPage: [] };
  await navigation(browser, url, ROWS);
  for (let round = 0; round < ROUNDS; round += 1) {
    times.firstRows.push(await navigation(browser, url, ROWS));
    times.emptyPage.push(await navigation(browser, `${url}api/claude/live/backlog?limit=1`, "body"));
  }
  return times;
}

/** The page tells by itself: a question from outside would be work for it. */
async function navigation(browser, url, wanted) {
  const context = await browser.newContext({ viewport: VIEWPORT });
  const page = await context.newPage();
  await page.addInitScript(`const look = () => (document.querySelector("${wanted}") ? setTimeout(() => console.debug(performance.now())) : requestAnimationFrame(look)); look();`);
  const told = page.waitForEvent("console", (message) => message.type() === "debug");
  await page.goto(url, { waitUntil: "commit" });
  const time = Number((await told).text());
  await context.close();
  return time;
}

/** From an append to the row, and to a client of the stream that is no browser. */
async function prompts(browser) {
  const { dir, url, page } = await open(browser);
  await page.evaluate(() => {
    globalThis.seen = new Map();
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) for (const node of addedNodes) globalThis.seen.set(node.querySelector(".said")?.textContent, Date.now());
    }).observe(document.querySelector("tbody"), { childList: true });
  });
  const heard = listen(`${url}api/claude/stream`);
  const times = { row: [], socket: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    const text = `lone ${round}!`;
    const quiet = Date.now() + QUIET_MS;
    await until("a quiet second", () => Date.now() > quiet);
    const start = Date.now();
    await append(dir, line(text));
    times.row.push((await until("the row", () => page.evaluate((text) => globalThis.seen.get(text), text))) - start);
    times.socket.push((await until("the event", () => heard(text))) - start);
  }
  await page.close();
  return times;
}

/** When a text came over a stream, if it did. */
function listen(url) {
  const chunks = [];
  const request = get(url, (answer) => answer.on("data", (chunk) => chunks.push({ at: Date.now(), text: String(chunk) })));
  request.on("error", () => {});
  t.after(() => request.destroy());
  return (text) => chunks.find((chunk) => chunk.text.includes(text))?.at;
}

/** Processor time of the page's longest task in a flood, and of one that makes as many bare rows. */
async function tasks(browser) {
  const { dir, page } = await open(browser);
  const ofPage = await trace(page);
  await flood(dir);
  await until("the newest row", () => page.evaluate((rows) => document.querySelector(rows).textContent.includes("flood 9999"), ROWS));
  const longestTask = await ofPage();
  await page.goto("about:blank");
  const ofBare = await trace(page);
  await page.evaluate(({ rows, cells }) => {
    const row = () => {
      const node = document.createElement("tr");
      for (let at = 0; at < cells; at += 1) node.appendChild(document.createElement("td")).textContent = "a few words";
      return node;
    };
    document.body.appendChild(document.createElement("table")).append(...Array.from({ length: rows }, row));
    return document.body.offsetHeight;
  }, BARE);
  return { longestTask, bareTask: await ofBare() };
}

/** What is called in the end gives the longest task since, of the thread that runs the page's code. */
async function trace(page) {
  const devtools = await page.context().newCDPSession(page);
  const events = [];
  devtools.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  await devtools.send("Tracing.start", { transferMode: "ReportEvents", categories: "toplevel,devtools.timeline,disabled-by-default-devtools.timeline" });
  return async () => {
    const complete = new Promise((resume) => devtools.once("Tracing.tracingComplete", resume));
    await devtools.send("Tracing.end");
    await complete;
    const { pid, tid } = events.find(({ name }) => name === "Layout");
    const all = events.filter((event) => event.name === "RunTask" && event.pid === pid && event.tid === tid);
    return Math.max(...all.map(({ tdur }) => tdur ?? 0)) / 1_000;
  };
}

/** A page that is live, of a history of its own. */
async function open(browser) {
  const dir = await claudeDir(t);
  await write(dir, ...lines(200));
  const { url } = await serve(t, dir);
  const page = await browser.newPage({ viewport: VIEWPORT });
  await page.goto(url);
  await page.waitForSelector("#claude-live-conn[data-state=live]");
  return { dir, url, page };
}
