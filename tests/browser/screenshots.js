/**
 * The README's pictures, light and dark, of the demo: `node screenshots.js`.
 */
import { spawn } from "node:child_process";
import { mkdir, stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { BINARY, launch } from "./machine.js";

const ROWS = "#claude-live-table tbody tr[data-event-id]";
const FOLDER = fileURLToPath(new URL("screenshots", import.meta.url));
const SIZE = { width: 1280, height: 800 };
/** More rows than the picture shows. */
const ENOUGH_ROWS = 30;
/** The one that is shown open, among plain prompts. */
const OPEN_ROW = 3;
const MOST_BYTES = 200_000;

const demo = spawn(BINARY, ["--demo", "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
const line = await new Promise((resume) => createInterface({ input: demo.stdout }).once("line", resume));
const browser = await launch();
try {
  await mkdir(FOLDER, { recursive: true });
  for (const scheme of ["light", "dark"]) await shoot(line.replace("listening on ", ""), scheme);
} finally {
  await browser.close();
  demo.kill();
}

async function shoot(url, colorScheme) {
  const page = await browser.newPage({ viewport: SIZE, colorScheme });
  await page.goto(url);
  await page.locator(ROWS).nth(ENOUGH_ROWS).waitFor();
  await page.locator(`${ROWS}[data-kind=prompt]:not(:has(.chip, .note)) .open`).nth(OPEN_ROW).click();
  await page.mouse.move(0, 0);
  const path = `${FOLDER}/live-${colorScheme}.png`;
  await page.screenshot({ path });
  const { size } = await stat(path);
  console.log(`${path}: ${size} bytes`);
  if (size > MOST_BYTES) throw new Error(`${path} is larger than ${MOST_BYTES} bytes`);
  await page.close();
}
