/**
 * Takes the README's pictures of the demo, light and dark: `node screenshots.js`.
 */
import { spawn } from "node:child_process";
import { mkdir, stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { BINARY, launch } from "./machine.js";

const ROWS = "#claude-live-table tbody tr[data-kind]";
const FOLDER = fileURLToPath(new URL("screenshots", import.meta.url));
const SIZE = { width: 1280, height: 800 };
/** The picture shows fewer rows. */
const ENOUGH_ROWS = 30;
/** The row that is open, counted among plain prompts. */
const OPEN_ROW = 3;
const MOST_BYTES = 200_000;

const demo = spawn(BINARY, ["--demo", "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
const line = await new Promise((resume) =>
  createInterface({ input: demo.stdout }).once("line", resume),
);
const browser = await launch();
try {
  await mkdir(FOLDER, { recursive: true });
  const url = line.replace("listening on ", "");
  for (const scheme of ["light", "dark"]) {
    await shoot(`${url}#sessions`, "sessions", scheme, openWaiting);
    await shoot(`${url}#live`, "live", scheme, openRow);
    await shoot(`${url}#usage`, "usage", scheme, readAll);
  }
} finally {
  await browser.close();
  demo.kill();
}

async function shoot(url, name, colorScheme, prepare) {
  const page = await browser.newPage({ viewport: SIZE, colorScheme });
  await page.goto(url);
  await prepare(page);
  await page.mouse.move(0, 0);
  const path = `${FOLDER}/${name}-${colorScheme}.png`;
  await page.screenshot({ path });
  const { size } = await stat(path);
  console.log(`${path}: ${size} bytes`);
  if (size > MOST_BYTES) throw new Error(`${path} is larger than ${MOST_BYTES} bytes`);
  await page.close();
}

/** Waits until the figures are whole. */
async function readAll(page) {
  await page.locator("#usage-figures dt").last().waitFor();
  await page.locator("#usage-progress").waitFor({ state: "hidden" });
}

/** Opens the session that waits longest, beside the list. */
async function openWaiting(page) {
  await page.locator(".card[data-status=waiting]").first().click();
  await page.locator("#sessions-rows [data-running]").last().waitFor();
  await page.waitForFunction(
    () => !document.querySelector("#sessions-before").textContent.includes("Reading"),
  );
  // The focus ring of the timeline is not part of the picture.
  await page.evaluate(() => /** @type {any} */ (document.activeElement).blur());
}

async function openRow(page) {
  await page.locator(ROWS).nth(ENOUGH_ROWS).waitFor();
  await page
    .locator(`${ROWS}[data-kind=prompt]:not(:has(.chip, .note)) .open`)
    .nth(OPEN_ROW)
    .click();
}
