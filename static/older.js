/**
 * Lines below those of the stream, read from the file step by step.
 * Past the bound, lines that do not match the filter are let go first, then the newest: reading on
 * reaches the file's beginning with bounded memory.
 * Invariant: no node, no clock, no network.
 */
import { item } from "./items.js";
/** @import { Backlog, Item, Reached } from "./types.js" */

/** Lines held at a time. */
export const MOST_OLDER = 5_000;

/**
 * Returns how far an answer reaches.
 * @param {number | null} before  as the server sends it
 * @returns {Reached}
 */
export const reachedBy = (before) =>
	before === null ? { state: "beginning" } : { state: "at", offset: before };

export class Older {
	/** @type {Item[]} Newest first. */
	items = [];
	/** Count of lines that were read and are not held any more. */
	letGo = 0;
	/** Lines that match were let go too, so `items` does not continue the rows of the stream. */
	hasGap = false;
	/** @type {Reached} */
	reached = { state: "unread" };

	get lookedAt() {
		return this.items.length + this.letGo;
	}

	/**
	 * Appends an answer and returns how many of its lines match.
	 * @param {Backlog} answer
	 * @param {(item: Item) => boolean} isWanted
	 */
	add({ events, before = null }, now, isWanted) {
		const lines = events.map((event) => item(event, now));
		this.items = this.items.concat(lines);
		this.reached = reachedBy(before);
		if (this.items.length > MOST_OLDER) this.#makeRoom(isWanted);
		return lines.filter(isWanted).length;
	}

	#makeRoom(isWanted) {
		const wanted = this.items.filter(isWanted);
		const kept = wanted.slice(-MOST_OLDER);
		this.letGo += this.items.length - kept.length;
		this.hasGap ||= kept.length < wanted.length;
		this.items = kept;
	}

	/** Takes lines that the rows of the stream have no room for. @param {Item[]} lines */
	addAbove(lines) {
		if (this.reached.state === "unread") return;
		if (this.hasGap) this.letGo += lines.length;
		else this.items = lines.concat(this.items);
		if (this.items.length <= MOST_OLDER) return;
		this.items.length = MOST_OLDER;
		this.reached = reachedBy(this.items[MOST_OLDER - 1].event.data.offset);
	}

	/** Drops the lines from an offset on. */
	dropFrom(offset) {
		this.items = this.items.filter(({ event }) => event.data.offset < offset);
	}
}
