// @ts-check
/**
 * Today's totals and the last hour's minutes.
 *
 * Kept apart from the events: these outlive the rows, at the cost of a few numbers.
 *
 * Invariant: pure; a prompt is counted once by its caller. Known weakness: a day of more prompts than
 * the server holds begins with those it still has (`partial`).
 */
import { isTyped } from "./format.js";

/** @typedef {import("./format.js").Item} Item */
/** @typedef {{ minute: number, total: number, parts: [string, number][] }} Minute its parts by project, the largest first */

const MINUTE_MS = 60_000;
export const MINUTES = 60;

export class Tally {
  partial = false;
  prompts = 0;
  /** @type {Set<string>} */
  sessions = new Set();
  /** @type {Set<string>} */
  projects = new Set();
  #day = "";
  /** @type {Map<number, Map<string, number>>} */
  #minutes = new Map();

  /** @param {Item} item @param {number} now */
  add(item, now) {
    this.#turn(now);
    if (!isTyped(item)) return;
    this.#addToMinute(item, now);
    if (day(item.ms) !== this.#day) return;
    this.prompts += 1;
    if (item.session) this.sessions.add(item.session);
    if (item.project) this.projects.add(item.project);
  }

  /** @param {Item} item @param {number} now */
  #addToMinute({ ms, project }, now) {
    const minute = Math.floor(ms / MINUTE_MS);
    if (minute <= Math.floor(now / MINUTE_MS) - MINUTES) return;
    const parts = this.#minutes.get(minute) ?? new Map();
    this.#minutes.set(minute, parts.set(project, (parts.get(project) ?? 0) + 1));
  }

  /** Midnight begins new totals. @param {number} now */
  #turn(now) {
    if (day(now) === this.#day) return;
    this.#day = day(now);
    this.prompts = 0;
    this.partial = false;
    this.sessions.clear();
    this.projects.clear();
  }

  /** Starts again from a backlog. @param {Item[]} items newest first @param {number} now @param {boolean} more whether older ones exist */
  restart(items, now, more) {
    this.#day = "";
    this.#minutes.clear();
    this.#turn(now);
    for (const item of items) this.add(item, now);
    const oldest = items[items.length - 1];
    this.partial = more && oldest !== undefined && day(oldest.ms) === this.#day;
  }

  /** The last hour, oldest first, every minute of it. @param {number} now @returns {Minute[]} */
  hour(now) {
    this.#turn(now);
    const newest = Math.floor(now / MINUTE_MS);
    for (const minute of this.#minutes.keys()) if (minute <= newest - MINUTES) this.#minutes.delete(minute);
    return Array.from({ length: MINUTES }, (_, at) => this.#minute(newest - MINUTES + 1 + at));
  }

  /** @param {number} minute @returns {Minute} */
  #minute(minute) {
    const parts = [...(this.#minutes.get(minute) ?? [])].sort((a, b) => b[1] - a[1]);
    return { minute: minute * MINUTE_MS, total: parts.reduce((sum, [, count]) => sum + count, 0), parts };
  }
}

/** @param {number} ms */
function day(ms) {
  return new Date(ms).toDateString();
}
