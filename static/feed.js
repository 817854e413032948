// @ts-check
/**
 * The events the page holds: each once, newest first, bounded.
 *
 * Events wait in `pending` until the page settles them into `items`, so that a page which is paused or
 * read further down does not move. A backlog that is read again replaces the history items and keeps
 * those it still has, with whatever is open, by id and else by the line's own text: after a restart
 * of the server the same line has another id.
 *
 * Invariant: no node, no clock, no network.
 */
import { isHistory, item } from "./format.js";

/** @typedef {import("./format.js").Item} Item */
/** @typedef {import("./format.js").LiveEvent} LiveEvent */

/** More than this many newest events are not held: the server has no more either. */
export const HELD = 1000;

export class Feed {
  /** @type {Item[]} newest first */
  items = [];
  /** @type {Item[]} oldest first, the newest `HELD` of what waits */
  pending = [];
  /** How many wait, with those that `pending` had no room for. */
  waiting = 0;
  /** The newest id that came by the stream or with the first backlog: the stream goes on behind it. */
  lastId = 0;
  #backlogId = 0;

  /** @param {LiveEvent} event @param {number} now @returns {Item | null} null if it is known already */
  accept(event, now) {
    if (isResync(event)) return this.#resync(event, now);
    if (event.id <= this.lastId) return null;
    this.lastId = event.id;
    const fresh = item(event, now);
    if (isHistory(fresh) && fresh.id <= this.#backlogId) return null;
    this.#wait(fresh);
    return fresh;
  }

  /**
   * The notice carries the id of the newest event and none of its own: it stands half a step behind that one.
   * Ids that went backwards (a clock set back between two runs) leave nothing newer than the notice.
   * @param {LiveEvent} event @param {number} now
   */
  #resync(event, now) {
    const current = event.data.currentId ?? event.id;
    for (const old of [...this.items, ...this.pending]) old.id = Math.min(old.id, current);
    this.lastId = current;
    const fresh = { ...item(event, now), id: current + 0.5 };
    if ([...this.items, ...this.pending].some(({ id }) => id === fresh.id)) return null;
    this.#wait(fresh);
    return fresh;
  }

  /** @param {Item} fresh */
  #wait(fresh) {
    this.pending.push(fresh);
    this.waiting += 1;
    if (this.pending.length > 2 * HELD) this.pending.splice(0, HELD);
  }

  /** Moves what waits to the front. @returns {Item[]} what was moved */
  settle() {
    const moved = this.pending.slice(-HELD).reverse();
    this.pending = [];
    this.waiting = 0;
    this.items = bounded(moved.concat(this.items));
    return moved;
  }

  /** @param {{ events: LiveEvent[], lastEventId: number }} backlog newest first @param {number} now */
  load({ events, lastEventId }, now) {
    const known = this.#known();
    const lines = events.map((event) => known(event) ?? item(event, now));
    const stays = (/** @type {Item} */ other) => !isHistory(other) || other.id > lastEventId;
    this.pending = this.pending.filter(stays);
    this.waiting = this.pending.length;
    this.items = bounded(merge(this.items.filter(stays), lines));
    this.#backlogId = lastEventId;
    if (this.lastId === 0) this.lastId = lastEventId;
  }

  /** Finds the item of an event, each item once. @returns {(event: LiveEvent) => Item | undefined} */
  #known() {
    const lines = this.items.filter(isHistory);
    const byId = new Map(lines.map((line) => [line.id, line]));
    /** @type {Map<string, Item[]>} */
    const byLine = new Map();
    for (const line of lines) byLine.set(line.event.data.rawLine, [...(byLine.get(line.event.data.rawLine) ?? []), line]);
    return (event) => {
      const found = byId.get(event.id) ?? byLine.get(event.data.rawLine)?.find((line) => byId.get(line.id) === line);
      if (!found) return undefined;
      byId.delete(found.id);
      return Object.assign(found, { id: event.id, event });
    };
  }
}

/** @param {Item[]} some @param {Item[]} others @returns {Item[]} newest first */
function merge(some, others) {
  return some.concat(others).sort((a, b) => b.id - a.id);
}

/** What is open is kept before what is newer. @param {Item[]} items */
function bounded(items) {
  if (items.length <= HELD) return items;
  let room = HELD - items.filter(({ open }) => open).length;
  return items.filter(({ open }) => open || (room -= 1) >= 0);
}

/** @param {LiveEvent} event */
export function isResync(event) {
  return event.type === "server.notice" && event.data?.kind === "stream.resync";
}

/** @param {LiveEvent} event */
export function isReset(event) {
  return event.type === "server.notice" && event.data?.kind === "history.reset";
}
