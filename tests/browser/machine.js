/** The binary and Chromium. */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const BINARY =
  process.env.CLAUDE_LIVE_BIN ??
  resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target", "debug/claude-live");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Traffic stays on this machine: Chromium requests nothing by itself. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch() {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/**
 * Starts a Chromium that nothing drives, with a page of its own: where the developer tools are
 * attached, each message of a stream takes several times as long.
 */
export function launchAlone(url, folder, ...flags) {
  const own = ["--headless=new", `--user-data-dir=${folder}`, "--window-size=1440,900"];
  return spawn(CHROMIUM, [...own, ...FLAGS, ...flags, url], { stdio: "ignore" });
}
