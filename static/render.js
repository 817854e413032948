/**
 * Items as rows of a table.
 * The nodes of a row are kept while its item is shown, so that an open, focused or selected row
 * stays as it is while new ones arrive.
 * Invariant: knows items and nodes, not the state of the page.
 */
import { copy, details, reveal, said } from "./details.js";
import { el, flat, place, setAttr, setStyle, setText } from "./dom.js";
import { lowercase } from "./filter.js";
import { ago, brief, clock, exact, shortId } from "./format.js";
import { highlight } from "./highlight.js";
import { KINDS } from "./items.js";
/** @import { Item, Row, RowContext } from "./types.js" */

const TITLE_CHARS = 4_000;

export class Table {
	/** @type {Item[]} Newest first. */
	shown = [];
	/** @type {Map<Item, Row>} */
	#rows = new Map();
	/** @type {string[]} */
	#words = [];

	#colorChanges = 0;

	/**
	 * @param {(field: string, value: string) => void} pick
	 *   called with a clicked project or session
	 */
	constructor(body, colors, pick) {
		this.body = body;
		this.colors = colors;
		this.pick = pick;
		body.addEventListener("click", ({ target }) => this.#onClick(target));
		// `toggle` does not bubble, and a later listener draws the unfolded part.
		body.addEventListener("toggle", () => setTimeout(() => this.#highlight()), true);
	}

	/** @param {Item[]} items @param {number} now @param {RowContext} context */
	show(items, now, { names, words, leftMs }) {
		const focused = this.#focused();
		const rows = items.map((item) => this.#row(item, now, names));
		this.shown = items;
		place(this.body, rows.flatMap(({ tr, detail }) => (detail ? [tr, detail] : [tr])));
		this.#join(rows, leftMs);
		const isRecolored = this.#colorChanges !== this.colors.changes;
		this.#colorChanges = this.colors.changes;
		const kept = new Set(items);
		for (const [item, row] of this.#rows) {
			if (!kept.has(item)) this.#rows.delete(item);
			else if (isRecolored) this.#paint(item, row);
		}
		if (focused !== undefined && this.#focused() === undefined) this.focus(focused);
		this.#highlight(words);
	}

	#row(item, now, names) {
		const row = this.#rows.get(item) ?? this.#newRow(item);
		setAttr(row.tr, "data-event-id", item.id ?? false);
		setText(row.cells.time, ago(now - item.ms));
		if (item.project) setText(row.cells.project, brief(names.get(item.project)));
		return row;
	}

	#newRow(item) {
		const row = makeRow(item);
		if (item.isOpen) row.detail = details(item);
		this.#rows.set(item, row);
		this.#paint(item, row);
		return row;
	}

	/** @param {Item} item */
	#paint({ machine, project, session }, { tr, cells }) {
		if (machine) setStyle(cells.machine, this.colors.of(machine));
		if (project) setStyle(cells.project, this.colors.of(project));
		if (!session) return;
		for (const node of [tr, cells.session]) setStyle(node, this.colors.of(session));
	}

	/** Neighbours of one session and project read as one conversation. */
	#join(rows, leftMs) {
		const firstOld = leftMs && this.shown.findIndex(({ ms }) => ms <= leftMs);
		rows.forEach(({ tr }, at) => {
			const isFirstOld = at > 0 && at === firstOld;
			const [above, { machine, session, project }] = [this.shown[at - 1], this.shown[at]];
			const isHere = project === above?.project && machine === above.machine;
			const isSame = isHere && session === above.session;
			setAttr(tr, "data-joined", session !== "" && isSame && !isFirstOld);
			setAttr(tr, "data-left", isFirstOld && `you were last here at ${clock(leftMs)}`);
		});
	}

	#highlight(words = this.#words) {
		if (!words.length && !this.#words.length) return;
		this.#words = words;
		for (const { tr, cells } of this.#rows.values()) {
			const text = lowercase(tr.textContent);
			const isBelow = words.some((word) => !text.includes(word));
			setAttr(cells.what, "data-more", isBelow && "match in the details");
		}
		highlight(this.body, words);
	}

	tick(now) {
		for (const [{ ms }, { cells }] of this.#rows) {
			setText(cells.time, ago(now - ms));
			cells.time.title ||= exact(ms);
		}
	}

	#itemOf(node) {
		const tr = node.closest("tr");
		const isOf = (row) => row?.tr === tr || row?.detail === tr;
		return this.shown.find((item) => isOf(this.#rows.get(item)));
	}

	/** Returns the index of the row that has the focus. */
	#focused() {
		const { activeElement } = document;
		const item = this.body.contains(activeElement) && this.#itemOf(activeElement);
		return item ? this.shown.indexOf(item) : undefined;
	}

	focus(at) {
		const row = this.#rows.get(this.shown[Math.max(0, Math.min(at, this.shown.length - 1))]);
		row?.cells.open.focus({ preventScroll: true });
		row?.tr.scrollIntoView({ block: "nearest" });
	}

	move(by) {
		this.focus((this.#focused() ?? -by) + by);
	}

	/** Closes the row that has the focus. Returns whether it was open. */
	close() {
		const at = this.#focused();
		if (at === undefined || !this.shown[at].isOpen) return false;
		this.#toggle(this.shown[at]);
		this.focus(at);
		return true;
	}

	#onClick(target) {
		const item = this.#itemOf(target);
		if (!item) return;
		const button = target.closest("button");
		const { pick, copy: name } = button?.dataset ?? {};
		const isText = target.closest(".detail") || String(getSelection());
		if (pick) this.pick(pick, item[pick]);
		else if (name) copy(button, name, item);
		else if (button ? !reveal(button) : !isText) this.#toggle(item);
		this.#highlight();
	}

	/** Opens or closes a row. Closing masks secrets again that were revealed. */
	#toggle(item) {
		const row = this.#rows.get(item) ?? this.#newRow(item);
		item.isOpen = !item.isOpen;
		setAttr(row.cells.open, "aria-expanded", String(item.isOpen));
		row.detail?.remove();
		row.detail = item.isOpen ? details(item) : undefined;
		if (!row.detail) return row.cells.what.replaceChildren(...flat(said(item)));
		row.tr.after(row.detail);
		for (const part of [row.detail, row.tr]) part.scrollIntoView({ block: "nearest" });
	}
}

/** @param {Item} item @returns {Row} */
function makeRow(item) {
	const { kind, machine, project, session, event } = item;
	const [sign, name] = KINDS[kind];
	const open = {
		class: "open",
		tabindex: -1,
		"aria-expanded": String(item.isOpen),
		"aria-label": `Details of this ${name}`,
	};
	const cells = {
		time: el("time", { datetime: event.ts }),
		machine: machine && pick("machine", machine, machine),
		project: project && pick("project", project),
		session: session && pick("session", session, shortId(session)),
		what: el("td", { class: "what" }, said(item)),
		open: el("button", open),
	};
	const tr = el("tr", { "data-kind": kind }, [
		el("td", { class: "when" }, cells.time),
		el("td", { class: "kind" }, [
			el("span", { class: "sign", title: name, "aria-hidden": true }, sign),
			el("span", { class: "sr" }, name),
		]),
		el("td", { class: "project" }, cells.machine, machine && project && " ", cells.project),
		el("td", { class: "session" }, cells.session),
		cells.what,
		el("td", { class: "more" }, cells.open),
	]);
	return { tr, cells };
}

function pick(field, value, label = "") {
	const title = brief(value, TITLE_CHARS);
	return el("button", { class: "pick", tabindex: -1, "data-pick": field, title }, brief(label));
}
