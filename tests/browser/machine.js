/** What the machine provides: the binary and Chromium. */
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

export const BINARY = process.env.CLAUDE_LIVE_BIN ?? fileURLToPath(new URL("../../target/debug/claude-live", import.meta.url));
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Chromium asks nobody for anything: all traffic stays on this machine. */
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export function launch() {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}
