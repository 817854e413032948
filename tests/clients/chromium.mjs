// Follows with Chromium's own EventSource and prints the reports as JSON.
// Usage: node chromium.mjs BASE_URL
//
// Speaks the DevTools protocol over a pipe, where messages end in NUL:
// https://chromedevtools.github.io/devtools-protocol/

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { follow } from "./follow.mjs";

const base = process.argv[2];
const profile = mkdtempSync(join(tmpdir(), "chromium-"));
const chromium = spawn(
  process.env.CHROMIUM ?? "chromium",
  [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    `--user-data-dir=${profile}`,
    "--remote-debugging-pipe",
    "about:blank",
  ],
  { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
);
chromium.on("error", (error) => {
  console.error(`chromium: ${error.message}; install chromium, or name it in $CHROMIUM`);
  process.exit(1);
});
// The test closes our stdin, or has ended. The browser writes to its profile until its own end.
process.stdin.resume().on("end", () => call("Browser.close"));
chromium.on("exit", () => {
  rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
  process.exit();
});

const [, , , requests, answers] = chromium.stdio;
const waiting = new Map();
let lastCall = 0;
let pending = "";

answers.setEncoding("utf8").on("data", (text) => {
  const messages = (pending + text).split("\0");
  pending = messages.pop();
  for (const message of messages) receive(JSON.parse(message));
});

function receive({ id, result, error, method, params }) {
  if (method === "Runtime.bindingCalled") console.log(params.payload);
  if (error) throw new Error(error.message);
  waiting.get(id)?.(result);
  waiting.delete(id);
}

function call(method, params = {}, sessionId = undefined) {
  const id = ++lastCall;
  requests.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((resolve) => waiting.set(id, resolve));
}

// A document of the server's origin, without the page's script.
const { targetId } = await call("Target.createTarget", { url: `${base}/healthz` });
const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
await call("Runtime.enable", {}, sessionId);
await call("Runtime.addBinding", { name: "report" }, sessionId);
while ((await evaluate("document.readyState + location.origin")) !== `complete${base}`);
await evaluate(`(${follow})(location.origin, EventSource, (found) => report(JSON.stringify(found)))`);

async function evaluate(expression) {
  const { result } = await call("Runtime.evaluate", { expression, awaitPromise: true }, sessionId);
  return result.value;
}
