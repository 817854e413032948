/** What the machine provides: the binary and Chromium. */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const BINARY = process.env.CLAUDE_LIVE_BIN ?? resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target", "debug/claude-live");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Chromium asks nobody for anything: all traffic stays on this machine. */
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export function launch() {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}
