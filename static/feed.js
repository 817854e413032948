/**
 * Events that the page holds, newest first and bounded.
 * A backlog that is read again replaces the lines but keeps the items of those that still exist, so
 * open rows stay open.
 * Invariant: no node, no clock, no network.
 */
import { isHistory, item, noticeKind } from "./items.js";
import { Older } from "./older.js";
/** @import { Backlog, Item, LiveEvent } from "./types.js" */

/** Most events held; the server's memory has the same bound. */
export const HELD = 1000;
/** Most rows of agents; more would take the place of prompts. */
const AGENTS_HELD = 400;

export class Feed {
	/** @type {Item[]} Newest first. */
	items = [];
	older = new Older();
	/** @type {Item[]} The newest of those that wait for `settle`, oldest first. */
	pending = [];
	/** Count of those that wait, with those that `pending` had no room for. */
	waiting = 0;
	/** Lines up to this id were in the last backlog. */
	#backlogId = 0;
	/** @type {Item[]} Lines of the last backlog, while they wait for `settle`. */
	#backlog = [];
	/** The last reset of the file. Until a later backlog, the offsets of lines are void. */
	#resetId = 0;

	/** Count of the lines that were looked at, with older ones that were let go. */
	get lineCount() {
		return this.items.filter(isHistory).length + this.older.lookedAt;
	}

	/** Returns the offset before which there are older lines to read, if there are any. */
	get before() {
		const { reached } = this.older;
		if (this.#backlogId < this.#resetId || reached.state === "beginning") return undefined;
		if (reached.state === "at") return reached.offset;
		const last = this.items.findLast(isHistory)?.event;
		// The files of a fleet are on its machines.
		return last && !last.machine && last.data.offset > 0 ? last.data.offset : undefined;
	}

	/**
	 * Takes an event of the stream. Returns its item, unless the backlog had it. A resync has none:
	 * the lines that it is about are read again, and the newest of them is the newest row.
	 * @param {LiveEvent} event
	 */
	accept(event, now) {
		const notice = noticeKind(event);
		if (notice === "stream.resync") return this.#renumber(event.id);
		if (notice === "history.reset") this.#onReset(event.id);
		const fresh = item(event, now);
		if (isHistory(fresh) && fresh.id <= this.#backlogId) return undefined;
		this.pending.push(fresh);
		this.waiting += 1;
		if (this.pending.length > 2 * HELD) this.pending.splice(0, HELD);
		return fresh;
	}

	/** If the server's clock was set back, new ids are below those that are held. */
	#renumber(id) {
		for (const old of [...this.items, ...this.pending]) old.id = Math.min(old.id, id);
		this.#backlogId = Math.min(this.#backlogId, id);
		this.#resetId = Math.min(this.#resetId, id);
	}

	#onReset(id) {
		this.#resetId = id;
		this.forgetOlder();
	}

	forgetOlder() {
		this.older = new Older();
	}

	settle() {
		this.#settleBacklog();
		this.#hold(this.pending.reverse().concat(this.items));
		this.pending = [];
		this.waiting = 0;
	}

	/**
	 * Takes a backlog. While paused, lines that are gone leave at once, and new ones wait.
	 * @param {Backlog} backlog
	 */
	load({ events, lastEventId }, now, isPaused = false) {
		this.#keepOlder(events.at(-1));
		const find = finder(this.items.filter(isHistory));
		const lines = events.map((event) =>
			Object.assign(find(event) ?? item(event, now), { id: event.id, event }),
		);
		const isLater = (other) => !isHistory(other) || other.id > lastEventId;
		const present = new Set(lines);
		this.pending = this.pending.filter(isLater);
		this.items = this.items.filter((old) => present.has(old) || isLater(old));
		this.waiting = this.pending.length + this.#countNew(lines);
		this.#backlog = lines;
		this.#backlogId = lastEventId;
		if (!isPaused) this.#settleBacklog();
	}

	/** Older lines stay if the backlog's last line is held, at the same offset. */
	#keepOlder(last) {
		const lines = this.items.filter(isHistory);
		const isLast = ({ event: { data } }) =>
			data.offset === last?.data.offset && data.rawLine === last?.data.rawLine;
		if (![...lines, ...this.older.items].some(isLast)) return this.forgetOlder();
		this.older.dropFrom(last.data.offset);
		this.older.addAbove(lines.filter(({ event }) => event.data.offset < last.data.offset));
	}

	/** Lines below the last one that is shown are older, not new. */
	#countNew(lines) {
		const shown = new Set(this.items);
		const end = lines.findLastIndex((line) => shown.has(line)) + 1 || lines.length;
		return lines.slice(0, end).filter((line) => !shown.has(line)).length;
	}

	#settleBacklog() {
		const last = this.#backlog.at(-1);
		if (!last) return;
		const held = new Set(this.items);
		this.older.dropFrom(last.event.data.offset);
		this.#hold(this.items.concat(this.#backlog.filter((line) => !held.has(line))));
		this.waiting = this.pending.length;
		this.#backlog = [];
	}

	#hold(items) {
		items.sort((a, b) => b.id - a.id);
		let agents = 0;
		items = items.filter(({ kind }) => kind !== "agent" || (agents += 1) <= AGENTS_HELD);
		this.items = items.slice(0, HELD);
		this.older.addAbove(items.slice(HELD).filter(isHistory));
	}
}

/** Returns a function that finds the item of a line, each once. @param {Item[]} lines */
function finder(lines) {
	/** @type {Map<string, Item[]>} */
	const byText = new Map(lines.map((line) => [line.event.data.rawLine, []]));
	for (const line of lines) byText.get(line.event.data.rawLine)?.push(line);
	return ({ data }) => byText.get(data.rawLine)?.shift();
}
