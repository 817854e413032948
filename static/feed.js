/**
 * The events the page holds: each once, newest first, bounded.
 * A backlog that is read again replaces the history but keeps the items of lines it still has, open ones open.
 * Invariant: no node, no clock, no network.
 */
import { isHistory, item } from "./format.js";

/** The server has no more either. */
export const HELD = 1000;

export class Feed {
	/** @type {Item[]} newest first */
	items = [];
	/** @type {Item[]} oldest first; the newest of what waits */
	pending = [];
	/** With those that `pending` had no room for. */
	waiting = 0;
	lastId = 0;
	#backlogId = 0;
	/** Puts the last backlog in the place of the history. */
	#replace = () => {};

	/** Nothing if it is known. @param {LiveEvent} event @returns {Item | undefined} */
	accept(event, now) {
		if (noticeKind(event) === "stream.resync") return this.#resync(event, now);
		if (event.id <= this.lastId) return;
		this.lastId = event.id;
		const fresh = item(event, now);
		if (!isHistory(fresh) || fresh.id > this.#backlogId) return this.#wait(fresh);
	}

	/** Stands half a step behind the newest event, whose id it has. Where a clock was set back, nothing is newer. */
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

	settle() {
		this.#replace();
		this.items = bounded(this.pending.reverse().concat(this.items));
		this.pending = [];
		this.waiting = 0;
	}

	/** Overtaken answers are ignored. While paused, what is gone goes; what is new waits. @param {Backlog} backlog */
	load({ events, lastEventId }, now, isPaused = false) {
		if (lastEventId < this.#backlogId) return;
		const known = finder(this.items.filter(isHistory));
		const lines = events.map((event) => Object.assign(known(event) ?? item(event, now), { id: event.id, event }));
		const stays = (other) => !isHistory(other) || other.id > lastEventId;
		const there = new Set(lines);
		this.pending = this.pending.filter(stays);
		this.items = this.items.filter((old) => there.has(old) || stays(old));
		const shown = new Set(this.items);
		const fresh = lines.slice(0, lines.findLastIndex((line) => shown.has(line)) + 1 || lines.length);
		this.waiting = this.pending.length + fresh.filter((line) => !shown.has(line)).length;
		this.#replace = () => {
			const held = new Set(this.items.filter(isHistory).map(({ id }) => id));
			this.items = bounded(this.items.concat(lines.filter(({ id }) => !held.has(id))));
			this.waiting = this.pending.length;
			this.#replace = () => {};
		};
		if (!isPaused) this.#replace();
		this.#backlogId = lastEventId;
		this.lastId ||= lastEventId;
	}

	/** What is older than what is held. @param {Backlog} backlog */
	older({ events, lastEventId }, now) {
		const oldest = this.items.findLast(isHistory);
		if (!oldest || lastEventId < this.#backlogId) return [];
		return events.filter(({ id }) => id < oldest.id).map((event) => item(event, now));
	}

	extend(items) {
		this.items = bounded(this.items.concat(items));
	}
}

/** Newest first; what is open is kept before what is newer. */
function bounded(items) {
	items.sort((a, b) => b.id - a.id);
	let room = HELD - items.filter(({ open }) => open).length;
	return items.length <= HELD ? items : items.filter(({ open }) => open || (room -= 1) >= 0);
}

/** Finds the item of a line, each once. @param {Item[]} lines */
function finder(lines) {
	const byText = new Map(lines.map((line) => [line.event.data.rawLine, /** @type {Item[]} */ ([])]));
	for (const line of lines) byText.get(line.event.data.rawLine)?.push(line);
	return ({ data }) => byText.get(data.rawLine)?.shift();
}

export const noticeKind = ({ type, data }) => type === "server.notice" && data?.kind;
