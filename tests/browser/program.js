/**
 * The real binary on a Claude directory of its own, in a test or in a script.
 *
 * `t.after` collects the functions that end processes and remove files. Nothing sleeps: `until`
 * waits for a condition.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { appendFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { BINARY } from "./machine.js";

/** A folder to serve the page's files from during development; by default the binary has them. */
const STATIC = process.env.CLAUDE_LIVE_STATIC ? ["--static", process.env.CLAUDE_LIVE_STATIC] : [];

/** Variables of the user that would change the behaviour of the program. */
const ENV = {
  ...process.env,
  CLAUDE_CONFIG_DIR: undefined,
  XDG_RUNTIME_DIR: undefined,
  TMPDIR: undefined,
};

/** Time to wait for anything, on a busy machine. */
export const PATIENCE_MS = 15_000;
const LOOK_EVERY_MS = 15;

export const ROWS = "#claude-live-table tbody tr[data-kind]";

/** Returns the result of `step` once it is not false, null or undefined. */
export async function until(what, step, patience = PATIENCE_MS) {
  for (const end = Date.now() + patience; ;) {
    const found = await step();
    if (found !== false && found !== null && found !== undefined) return found;
    assert.ok(Date.now() < end, `waited in vain: ${what}`);
    await new Promise((resume) => setTimeout(resume, LOOK_EVERY_MS));
  }
}

/** Creates a Claude directory for a test. */
export async function claudeDir(t) {
  const dir = await mkdtemp(join(tmpdir(), "claude-live-page-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Returns a line as Claude Code writes it. */
export function line(display, more = {}) {
  return JSON.stringify({
    display,
    pastedContents: {},
    timestamp: Date.now(),
    project: "/home/demo/alpha",
    sessionId: "0b6f3c52-1111-4a7e-9c11-3f1f0a2b0001",
    ...more,
  });
}

/** Returns lines whose prompts are `prefix 0` to `prefix count-1`, oldest first. */
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

/** Starts the program, on a free port unless one is given. */
export async function serve(t, dir, { port = 0, args = [] } = {}) {
  const child = spawn(
    BINARY,
    ["--claude", dir, "--port", String(port), "--quiet", ...STATIC, ...args],
    { env: ENV, stdio: ["ignore", "pipe", "inherit"] },
  );
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

/** Appends `flood 0` to `flood 9999`, of twelve sessions, in five seconds. */
export async function flood(dir) {
  const sessions = Array.from({ length: 12 }, (_, at) => ({
    sessionId: `${at}0b6f3c52-1111`,
    project: `/p/${at % 5}`,
  }));
  for (let part = 0; part < 50; part += 1) {
    const next = Date.now() + 100;
    await append(
      dir,
      ...Array.from({ length: 200 }, (_, at) =>
        line(`flood ${part * 200 + at}`, sessions[at % 12]),
      ),
    );
    await until("the next tenth of a second", () => Date.now() >= next);
  }
}
