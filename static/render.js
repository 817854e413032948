/**
 * Events as rows of the table.
 * Rows are kept, never rebuilt: what is open, focused or selected stays so while others arrive.
 * Invariant: knows items and nodes, no state of the page.
 */
import { el, flat, mark, say } from "./dom.js";
import { fold } from "./filter.js";
import { KINDS, ago, brief, clip, clock, exact, firstLines, hue, number, pieces, plural, promptOf, resumeOf, shortId, verbatim } from "./format.js";
import { highlight } from "./highlight.js";
import { pretty, tree } from "./json.js";
import { tells } from "./secrets.js";

/** What is longer is cut until "show all". */
const STRING_CHARS = 400;
const TEXT_CHARS = 2_000;
/** Of a tree, at first. */
const ITEMS = 100;
const LEVELS = 4;
const TITLE_CHARS = 4_000;
const SAID_MS = 1_500;

/** What a click on a button puts where. @type {WeakMap<Element, any>} */
const hidden = new WeakMap();

export class Table {
	/** @type {Item[]} newest first */
	shown = [];
	/** @type {Map<Item, { tr: any, time: any, project: any, detail?: any }>} */
	#rows = new Map();
	/** @type {string[]} marked where they show */
	#words = [];

	constructor(body, pick) {
		this.body = body;
		this.pick = pick;
		body.addEventListener("click", ({ target }) => this.#click(target));
		// It does not bubble; what it unfolds is drawn after this.
		body.addEventListener("toggle", () => setTimeout(() => this.#highlight()), true);
	}

	/**
	 * `left` is when one last looked, 0 for never; `names` are those of projects.
	 * @param {Item[]} items @param {number} now @param {{ left: number, names: Map<string, string>, words: string[] }} how
	 */
	show(items, now, { left, names, words }) {
		const at = this.#at();
		const rows = items.map((item) => this.#row(item, now, names));
		this.shown = items;
		this.#place(flat(rows.map(({ tr, detail }) => [tr, detail])));
		this.#join(rows, left);
		for (const [item, { tr }] of this.#rows) if (!tr.isConnected) this.#rows.delete(item);
		if (at >= 0 && this.#at() < 0) this.focus(at);
		this.#highlight(words);
	}

	#highlight(words = this.#words) {
		if (!words.length && !this.#words.length) return;
		this.#words = words;
		for (const { tr } of this.#rows.values()) {
			const seen = fold(tr.textContent);
			mark(tr.querySelector(".what"), "data-more", words.some((word) => !seen.includes(word)) && "match in the details");
		}
		highlight(this.body, words);
	}

	#row(item, now, names) {
		const row = this.#rows.get(item) ?? makeRow(item);
		this.#rows.set(item, row);
		mark(row.tr, "data-event-id", item.id);
		say(row.time, ago(now - item.ms));
		if (row.project) say(row.project, brief(names.get(item.project)));
		return row;
	}

	#place(wanted) {
		const keep = new Set(wanted);
		for (const old of [...this.body.children]) if (!keep.has(old)) old.remove();
		let next = this.body.firstElementChild;
		for (const node of wanted) {
			if (node === next) next = node.nextElementSibling;
			else this.body.insertBefore(node, next);
		}
	}

	/** Neighbours of one session and project read as one conversation. */
	#join(rows, left) {
		const old = left ? this.shown.findIndex(({ ms }) => ms <= left) : 0;
		rows.forEach(({ tr }, at) => {
			const isOld = at > 0 && at === old;
			const [above, { session, project }] = [this.shown[at - 1], this.shown[at]];
			mark(tr, "data-joined", !isOld && session !== "" && session === above?.session && project === above.project);
			mark(tr, "data-left", isOld && `you were last here at ${clock(left)}`);
		});
	}

	tick(now) {
		for (const [{ ms }, { time }] of this.#rows) {
			say(time, ago(now - ms));
			time.title ||= exact(ms);
		}
	}

	/** @returns {any} */
	#itemOf(node) {
		const tr = node.closest("tr");
		return this.shown.find((item) => Object.values(this.#rows.get(item) ?? {}).includes(tr));
	}

	/** Where the focus is; -1 if elsewhere. */
	#at() {
		const { activeElement } = document;
		return this.body.contains(activeElement) ? this.shown.indexOf(this.#itemOf(activeElement)) : -1;
	}

	focus(at) {
		const row = this.#rows.get(this.shown[Math.min(Math.max(at, 0), this.shown.length - 1)]);
		row?.tr.querySelector(".open").focus({ preventScroll: true });
		row?.tr.scrollIntoView({ block: "nearest" });
	}

	move(by) {
		const at = this.#at();
		this.focus(at < 0 ? 0 : at + by);
	}

	/** Whether there was an open row with the focus. */
	close() {
		const at = this.#at();
		if (!this.shown[at]?.open) return false;
		this.#toggle(this.shown[at]);
		this.focus(at);
		return true;
	}

	#click(target) {
		const item = this.#itemOf(target);
		const button = target.closest("button");
		const { pick, copy } = button?.dataset ?? {};
		if (button && hidden.has(button)) reveal(button);
		else if (pick) this.pick(pick, item[pick]);
		else if (copy) copyFrom(button, COPIES[copy][1](item));
		else if (button || !(target.closest(".detail") || String(getSelection()))) this.#toggle(item);
		this.#highlight();
	}

	#toggle(item) {
		const row = this.#rows.get(item);
		if (!row) return;
		item.open = !item.open;
		mark(row.tr.querySelector(".open"), "aria-expanded", String(item.open));
		row.detail?.remove();
		row.detail = item.open ? makeDetail(item) : undefined;
		if (!row.detail) return;
		row.tr.after(row.detail);
		for (const part of [row.detail, row.tr]) part.scrollIntoView({ block: "nearest" });
	}
}

function makeRow(item) {
	const { kind, project, session, event } = item;
	const [sign, name] = KINDS[kind];
	const time = el("time", { datetime: event.ts });
	const cells = {
		when: time,
		kind: [el("span", { class: "sign", title: name, "aria-hidden": true }, sign), el("span", { class: "sr" }, name)],
		project: project && pick("project", project),
		session: session && pick("session", session, shortId(session)),
		what: said(item),
		more: button("", { class: "open", tabindex: -1, "aria-expanded": "false", "aria-label": `Details of this ${name}` }),
	};
	const row = Object.entries(cells).map(([name, inside]) => el("td", { class: name }, inside));
	return { tr: el("tr", { "data-kind": kind, ...(session && { "--hue": hue(session) }) }, row), time, project: cells.project };
}

function button(label, props) {
	return el("button", props, label);
}

function pick(field, value, label = "") {
	return button(brief(label), { class: "pick", tabindex: -1, "data-pick": field, title: brief(value, TITLE_CHARS), "--hue": hue(value) });
}

function said({ text, event }) {
	const { head, moreLines } = firstLines(text);
	const reason = event.data?.parseError;
	return [
		el("span", { class: "said", dir: "auto" }, spans(head)),
		moreLines > 0 && el("span", { class: "note" }, `+${plural(moreLines, "line")}`),
		reason && el("span", { class: "note why" }, reason),
	];
}

const spans = (text) => nodes(pieces(text));
const plain = (text) => nodes(pieces(text, verbatim));

function nodes(found) {
	return found.map(({ kind, text, name }) => {
		if (kind === "text") return text;
		return kind === "secret" ? cover(text, name) : el(kind === "code" ? "code" : "span", { class: kind }, text);
	});
}

function cover(text, name) {
	const show = button("••••••", { class: "secret", title: `Looks like a secret (${name}): show` });
	return hide(show, () => nodes(verbatim(text)), show);
}

/** A click on `show` puts what `make` gives in the place of the rest. */
function hide(show, make, ...rest) {
	const holder = el("span", { tabindex: -1 }, rest);
	hidden.set(show, { holder, make });
	return holder;
}

function reveal(show) {
	const { holder, make } = hidden.get(show);
	holder.replaceChildren(...flat([make()]));
	holder.focus();
}

function long(text, chars, make) {
	if (text.length <= chars) return el("span", {}, make(text));
	const show = button(`show all ${number(text.length)} characters`, { class: "link" });
	return hide(show, () => make(text), make(clip(text, chars)), " ", show);
}

const raw = ({ event }) => event.data?.rawLine ?? JSON.stringify(event);

/** What a button copies, and whether it is there, where that is more than an empty text. @type {Record<string, [string, (item: Item) => string, ((item: Item) => any)?]>} */
const COPIES = {
	prompt: ["Copy prompt", ({ event }) => promptOf(event)],
	resume: ["Copy resume command", resumeOf],
	raw: ["Copy raw line", raw],
	json: ["Copy JSON", (item) => pretty(raw(item)), ({ event }) => !event.data?.parseError],
};

function makeDetail(item) {
	const { parseError, json } = item.event.data ?? {};
	const whole = !parseError && firstLines(item.text).isCut && el("p", { class: "whole", dir: "auto" }, long(item.text, TEXT_CHARS, spans));
	const all = el("div", { class: "json" }, parseError ? long(raw(item), TEXT_CHARS, plain) : branch(tree(raw(item)), 0));
	return el("tr", { class: "detail" }, el("td", { colspan: 6 }, facts(item), whole, pasted(json?.pastedContents), all));
}

function facts(item) {
	const { ms, project, session, event } = item;
	const { offset, parseError } = event.data ?? {};
	const known = [exact(ms), project, session, offset >= 0 && `at byte ${number(offset)}`, parseError];
	const copies = Object.entries(COPIES).map(([copy, [label, text, isThere = text]]) => isThere(item) && button(label, { "data-copy": copy }));
	return el("div", { class: "facts" }, flat(known).map((fact) => el("span", {}, plain(fact))), el("span", { class: "actions" }, copies));
}

function pasted(contents) {
	return Object.entries(contents ?? {}).map(([key, paste]) => {
		const { content, contentHash } = paste ?? {};
		const text = typeof content === "string" ? long(content, TEXT_CHARS, plain) : contentHash && plain(`in paste-cache/${contentHash}.txt, which is not read`);
		return text && el("details", { open: true }, el("summary", {}, plain(`Pasted text #${key}`)), el("pre", { dir: "auto" }, text));
	});
}

function branch({ kind, text, key, items }, level, end = "") {
	const name = key && [el("span", { class: "key" }, plain(key)), ": "];
	if (items.length) return foldable(name, kind, items, level, end);
	if (kind === "object" || kind === "array") return [name, kind === "object" ? "{}" : "[]", end];
	const isTold = kind === "string" && text.length > 2 && tells(key.slice(1, -1));
	return [name, el("span", { class: kind }, isTold ? cover(text, "by its name") : long(text, STRING_CHARS, plain)), end];
}

function foldable(name, kind, items, level, end) {
	const [opening, closing] = kind === "object" ? "{}" : "[]";
	const body = el("div", { class: "items" });
	const open = level < LEVELS;
	const draw = () => body.append(...lines(items, level));
	const summary = el("summary", {}, name, opening, el("span", { class: "folded" }, ` ${number(items.length)} ${closing}${end}`));
	const node = el("details", { open }, summary, body, closing, end);
	if (open) draw();
	else node.addEventListener("toggle", draw, { once: true });
	return node;
}

function lines(items, level) {
	const line = (node, at) => el("div", {}, branch(node, level + 1, at < items.length - 1 ? "," : ""));
	const drawn = items.slice(0, ITEMS).map(line);
	if (items.length <= ITEMS) return drawn;
	const show = button(`show all ${number(items.length)}`, { class: "link" });
	return [hide(show, () => items.map(line), drawn, show)];
}

async function copyFrom(button, text) {
	const label = button.textContent;
	const isDone = await navigator.clipboard?.writeText(text).then(() => true, () => false);
	say(button, isDone ? "Copied" : "Could not copy");
	setTimeout(() => say(button, label), SAID_MS);
}
