/** Measures the Sessions view, for `times.js`. Times are in milliseconds. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { Claude } from "./claude.js";
import { launchAlone } from "./machine.js";
import { QUIET_MS, VIEWPORT, longestOf, tracing } from "./measure.js";
import { claudeDir, serve, until } from "./program.js";

const SESSIONS = 200;
const LONG = { turns: 8_000, calls: 4 };
const OPENINGS = 7;
/** Pages of older records that are scrolled through. */
const PAGES = 40;
const FLOOD = { sessions: 100, records: 50, seconds: 20, earlySeconds: 4, tracedSeconds: 6 };
/** Longer than the start of a Chromium and the flood. */
const TRACED_SECONDS = 20;

/** Starts the program on 200 sessions of today, one with a process. */
export async function sessions(t) {
  const dir = await claudeDir(t);
  for (let at = 0; at < SESSIONS; at += 1) {
    const project = `/home/demo/${at % 12}`;
    const claude = new Claude(dir, `Session ${at} with a title`, { project });
    if (at === 0) await claude.status("busy");
    await claude.begin(`do the thing number ${at}, and tell me how it went`);
    await claude.result(await claude.call("Bash", { command: "cargo test -q" }), "ok");
    await claude.say("I look at the tests first, then I fix the parser.");
    await claude.call("Bash", { command: "cargo build --release" });
  }
  const { url } = await serve(t, dir);
  await read(url, SESSIONS);
  return { url };
}

/** Waits until the transcripts are read. */
async function read(url, count) {
  return until(`${count} sessions`, async () => {
    const { reading, sessions } = await (await fetch(`${url}api/claude/sessions`)).json();
    return sessions.length === count && reading.done >= reading.files;
  }, 60_000);
}

/** Measures from a change on disk to the card: of a status, and of a record. */
export async function changes(t, browser, rounds) {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Changes");
  await claude.status("busy");
  await claude.begin("go");
  const { url } = await serve(t, dir);
  const page = await browser.newPage({ viewport: VIEWPORT });
  await page.goto(url);
  await page.waitForSelector(".card[data-status=working]");
  await page.waitForSelector("#sessions-view .badge[data-state=live]");
  await page.evaluate(() => {
    globalThis.seen = new Map();
    const card = document.querySelector(".card");
    const note = (what) => globalThis.seen.has(what) || globalThis.seen.set(what, Date.now());
    new MutationObserver(() => {
      note(card.querySelector(".last")?.textContent);
      note(`${card.dataset.status} ${globalThis.round}`);
    }).observe(card, { attributes: true, childList: true, subtree: true });
  });
  const get = (what) => globalThis.seen.get(what);
  const seen = (what) => until(what, () => page.evaluate(get, what));
  const times = { status: [], record: [] };
  for (let round = 0; round < rounds; round += 1) {
    const status = round % 2 ? "busy" : "waiting";
    const shown = round % 2 ? "working" : "waiting";
    await page.evaluate((round) => (globalThis.round = round), round);
    await quiet();
    const written = Date.now();
    await claude.status(status, "permission prompt");
    times.status.push((await seen(`${shown} ${round}`)) - written);
    await quiet();
    const said = Date.now();
    await claude.say(`words ${round}`);
    times.record.push((await seen(`words ${round}`)) - said);
  }
  await page.close();
  return times;
}

async function quiet() {
  const end = Date.now() + QUIET_MS;
  await until("a quiet second", () => Date.now() > end);
}

/** Measures a session of 80,000 records: how long it takes to open, and tasks of scrolling back. */
export async function history(t, browser) {
  const dir = await claudeDir(t);
  const claude = new Claude(dir, "Long");
  await claude.begin("go");
  for (let from = 0; from < LONG.turns; from += 400)
    await claude.append(...Array.from({ length: 400 }, (_, at) => turn(claude, from + at)).flat());
  const { url } = await serve(t, dir);
  await read(url, 1);
  const page = await browser.newPage({ viewport: VIEWPORT });
  await page.goto(`${url}#sessions`);
  await page.waitForSelector(".card .title");
  const opening = [];
  for (let round = 0; round < OPENINGS; round += 1) {
    opening.push(await page.evaluate(openSession));
    await page.evaluate(() => document.querySelector("[data-do=close]").click());
  }
  await page.evaluate(openSession);
  const longest = await tracing(page);
  await page.evaluate(scrollBack, PAGES);
  const scrollTask = await longest();
  await page.close();
  return { opening, scrollTask };
}

function turn(claude, number) {
  const records = Array.from({ length: LONG.calls }, (_, at) => {
    const id = `toolu_${number}_${at}`;
    const isError = at === 2 && number % 5 === 0;
    const input = { command: "cargo test -q", file_path: "/home/demo/src/main.rs" };
    return [
      claude.ofAssistant([{ type: "tool_use", id, name: at ? "Read" : "Bash", input }]),
      claude.resultOf(id, isError ? "Exit code 1" : "fine", { isError }),
    ];
  });
  const prompt = `prompt ${number} with \`code\` in it`;
  return [
    claude.record("user", { message: { role: "user", content: prompt } }),
    ...records.flat(),
    claude.ofAssistant([{ type: "text", text: `Answer ${number}: **done**.\nAnd more.` }]),
  ];
}

/** In the page: opens the session, and returns how long it takes until its rows are painted. */
function openSession() {
  const rows = document.querySelector("#sessions-rows");
  const start = performance.now();
  return new Promise((resume) => {
    const look = () => {
      if (!rows.children.length) return requestAnimationFrame(look);
      setTimeout(() => resume(performance.now() - start));
    };
    document.querySelector(".card .title").click();
    requestAnimationFrame(look);
  });
}

/** In the page: scrolls towards the start until so many pages of older records have come. */
async function scrollBack(pages) {
  const [flow, rows] = ["#sessions-flow", "#sessions-rows"].map((it) => document.querySelector(it));
  for (let count = 0, first = rows.firstElementChild; count < pages; ) {
    flow.scrollTop = Math.max(0, flow.scrollTop - 1_500);
    await new Promise((resume) => requestAnimationFrame(() => setTimeout(resume)));
    if (rows.firstElementChild === first) continue;
    first = rows.firstElementChild;
    count += 1;
  }
}

/** Measures 100 sessions at 50 records a second, one of them open. */
export async function floods(t, browser) {
  return { ...(await alone(t)), ...(await watched(t, browser)) };
}

async function crowd(t) {
  const dir = await claudeDir(t);
  const all = Array.from({ length: FLOOD.sessions }, (_, at) => new Claude(dir, `Session ${at}`));
  for (const claude of all) await claude.begin("go");
  const { url } = await serve(t, dir);
  await read(url, all.length);
  return { dir, url, all, address: `${url}#sessions&open=${all[1].id}` };
}

async function pour(all, seconds) {
  for (let second = 0; second < seconds; second += 1) {
    const next = Date.now() + 1_000;
    for (const claude of all) {
      const texts = Array.from({ length: FLOOD.records }, (_, at) => `text ${second} ${at}`);
      await claude.append(...texts.map((text) => claude.ofAssistant([{ type: "text", text }])));
    }
    await until("the next second", () => Date.now() >= next);
  }
}

/** Returns the longest task of a page to which no developer tools are attached. */
async function alone(t) {
  const { dir, url, all, address } = await crowd(t);
  const file = join(dir, "trace.json");
  const flags = ["=toplevel", `-duration=${TRACED_SECONDS}`, "-format=json", `-file=${file}`];
  const trace = flags.map((flag) => `--trace-startup${flag}`);
  const child = launchAlone(address, join(dir, "profile"), ...trace);
  const ended = new Promise((resume) => child.once("exit", resume));
  t.after(() => (child.kill("SIGKILL"), ended));
  await until("a stream", async () => {
    const { counters } = await (await fetch(`${url}healthz`)).json();
    return counters.subscribers > 0;
  });
  await quiet();
  const start = process.hrtime.bigint() / 1_000n;
  await pour(all, FLOOD.tracedSeconds);
  const end = process.hrtime.bigint() / 1_000n;
  await until("the trace", () => existsSync(file), 2_000 * TRACED_SECONDS);
  const { traceEvents } = await until("the whole trace", () => parsed(file));
  const threads = traceEvents.filter(({ name, args }) => {
    return name === "thread_name" && args.name === "CrRendererMain";
  });
  // Both clocks are the system's monotonic one.
  const isOfFlood = ({ ts, pid, tid }) =>
    ts > start && ts < end && threads.some((it) => it.pid === pid && it.tid === tid);
  return { floodTask: longestOf(traceEvents.filter(isOfFlood)) };
}

async function parsed(file) {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** Returns renders in a second, and by how much the heap grows over the last records. */
async function watched(t, browser) {
  const { all, address } = await crowd(t);
  const page = await browser.newPage({ viewport: VIEWPORT });
  await page.goto(address);
  await page.waitForSelector("#sessions-rows li");
  const devtools = await page.context().newCDPSession(page);
  const heap = async () => {
    await devtools.send("HeapProfiler.collectGarbage");
    return (await devtools.send("Runtime.getHeapUsage")).usedSize;
  };
  await page.evaluate(() => {
    globalThis.renders = [];
    const note = () => globalThis.renders.push(performance.now());
    const rows = document.querySelector("#sessions-rows");
    new MutationObserver(note).observe(rows, { childList: true });
  });
  await pour(all, FLOOD.earlySeconds);
  const early = await heap();
  await pour(all, FLOOD.seconds - FLOOD.earlySeconds);
  const renders = await page.evaluate(() => globalThis.renders);
  const seconds = (renders.at(-1) - renders[0]) / 1_000;
  return { renders: (renders.length - 1) / seconds, heapGrowth: (await heap()) / early };
}
