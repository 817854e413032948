// @ts-check
/**
 * The events the page holds: each once, newest first, bounded.
 *
 * What comes waits in `pending` until it is settled into `items`. A backlog that is read again replaces the history but
 * keeps the items of lines it still has, open ones open: a restarted server gives them new ids.
 *
 * Invariant: no node, no clock, no network.
 */
import { isHistory, item } from "./format.js";

/** More are not held: the server has no more either. */
export const HELD = 1000;

export class Feed {
	/** @type {Item[]} newest first */
	items = [];
	/** @type {Item[]} oldest first; the newest of what waits */
	pending = [];
	/** How many wait, with those that `pending` had no room for. */
	waiting = 0;
	/** The newest id of the stream, which goes on behind it. */
	lastId = 0;
	#backlogId = 0;

	/** Nothing if it is known already. @param {LiveEvent} event @returns {Item | undefined} */
	accept(event, now) {
		if (noticeKind(event) === "stream.resync") return this.#resync(event, now);
		if (event.id <= this.lastId) return;
		this.lastId = event.id;
		const fresh = item(event, now);
		if (!isHistory(fresh) || fresh.id > this.#backlogId) return this.#wait(fresh);
	}

	/**
	 * The notice has the id of the newest event, and stands half a step behind that. Where ids went backwards (the
	 * clock was set back between two runs), nothing is newer.
	 */
	#resync(event, now) {
		const held = [...this.items, ...this.pending];
		const id = event.id + 0.5;
		for (const old of held) if (old.id > id) old.id = event.id;
		this.lastId = event.id;
		this.#backlogId = Math.min(this.#backlogId, event.id);
		if (!held.some((old) => old.id === id)) return this.#wait({ ...item(event, now), id });
	}

	#wait(fresh) {
		this.pending.push(fresh);
		this.waiting += 1;
		if (this.pending.length > 2 * HELD) this.pending.splice(0, HELD);
		return fresh;
	}

	/** Moves what waits to the front. */
	settle() {
		this.items = bounded(this.pending.reverse().concat(this.items));
		this.pending = [];
		this.waiting = 0;
	}

	/** An answer that a later one has overtaken is ignored. @param {Backlog} backlog */
	load({ events, lastEventId }, now) {
		if (lastEventId < this.#backlogId) return;
		const known = finder(this.items.filter(isHistory));
		const lines = events.map((event) => Object.assign(known(event) ?? item(event, now), { id: event.id, event }));
		const stays = (other) => !isHistory(other) || other.id > lastEventId;
		this.pending = this.pending.filter(stays);
		this.waiting = this.pending.length;
		this.items = bounded(this.items.filter(stays).concat(lines));
		this.#backlogId = lastEventId;
		this.lastId ||= lastEventId;
	}
}

/** Newest first; what is open is kept before what is newer. */
function bounded(items) {
	items.sort((a, b) => b.id - a.id);
	let room = HELD - items.filter(({ open }) => open).length;
	return items.length <= HELD ? items : items.filter(({ open }) => open || (room -= 1) >= 0);
}

/** Finds the item of a line, each item once. @param {Item[]} lines newest first, as they are asked for */
function finder(lines) {
	const byText = new Map(lines.map((line) => [line.event.data.rawLine, /** @type {Item[]} */ ([])]));
	for (const line of lines) byText.get(line.event.data.rawLine)?.push(line);
	return ({ data }) => byText.get(data.rawLine)?.shift();
}

export const noticeKind = ({ type, data }) => type === "server.notice" && data?.kind;
