/**
 * The contents of rows: texts with masked secrets, and the details of an open row.
 * Invariant: knows items and nodes, not the state of the page.
 */
import { el, flat, setText } from "./dom.js";
import { toHash } from "./filter.js";
import { bytes, clip, exact, number, pieces, plural, verbatim } from "./format.js";
import { firstLines, isSecret, nameOf, promptOf, resumeOf, sidesOf } from "./items.js";
import { pretty, tree } from "./json.js";
import { isSensitiveKey } from "./secrets.js";

/** Longer texts are cut until "show all" is clicked. */
const STRING_CHARS = 400;
const TEXT_CHARS = 2_000;
/** Parts of a JSON tree that are drawn at first. */
const ITEMS = 100;
const LEVELS = 4;
/** Time for which a button says that it has copied. */
const COPIED_MS = 1_500;

/** The holder of each "show" button, and the function that makes its new contents. */
const replacements = new WeakMap();

/** Shows the text that a button hides. Returns whether it hides one. */
export function reveal(button) {
	const { holder, make } = replacements.get(button) ?? {};
	holder?.replaceChildren(...flat([make()]));
	holder?.focus();
	return Boolean(holder);
}

/** Returns the contents of a closed row. */
export function said({ text, event }) {
	const { head, moreLines } = firstLines(text);
	const reason = event.data?.parseError;
	return [
		el("span", { class: "said", dir: "auto" }, formatted(head)),
		moreLines > 0 && el("span", { class: "note" }, `+${plural(moreLines, "line")}`),
		reason && el("span", { class: "note why" }, reason),
	];
}

export const formatted = (text) => nodes(pieces(text));
export const plain = (text) => nodes(pieces(text, verbatim));

function nodes(found) {
	return found.map(({ kind, text, name }) => {
		if (kind === "text") return text;
		if (kind === "secret") return mask(text, name);
		return el(kind === "code" ? "code" : "span", { class: kind }, text);
	});
}

function mask(text, name) {
	const title = `Looks like a secret (${name}); click to show`;
	const show = el("button", { class: "secret", title }, "••••••");
	return replaceable(show, () => nodes(verbatim(text)), show);
}

/** A click on `show` replaces the rest by the nodes of `make`. */
function replaceable(show, make, ...rest) {
	const holder = el("span", { tabindex: -1 }, rest);
	replacements.set(show, { holder, make });
	return holder;
}

/** Returns a text whose end is folded if it is longer than `chars` characters. */
export function long(text, chars, make) {
	if (text.length <= chars) return el("span", {}, make(text));
	const show = el("button", { class: "link" }, `show all ${number(text.length)} characters`);
	return replaceable(show, () => make(text), make(clip(text, chars)), " ", show);
}

const raw = ({ event }) => event.data?.rawLine ?? JSON.stringify(event);

/**
 * Label and text of each copy button, and whether it is offered where that is not by its text.
 * @type {Record<string, any[]>}
 */
const COPIES = {
	prompt: ["Copy prompt", ({ event }) => promptOf(event)],
	resume: ["Copy resume command", resumeOf],
	raw: ["Copy raw line", raw],
	json: ["Copy JSON", (item) => pretty(raw(item)), ({ event }) => !event.data?.parseError],
};

export const copy = (button, name, item) => copyText(button, COPIES[name][1](item));

export async function copyText(button, text) {
	const label = button.textContent;
	const written = navigator.clipboard?.writeText(text);
	const isDone = await written?.then(() => true, () => false);
	setText(button, isDone ? "Copied" : "Could not copy");
	setTimeout(() => setText(button, label), COPIED_MS);
}

/** Returns the row below an open one. */
export function details(item) {
	const { text, event } = item;
	const { parseError, json, changes, moreChanges } = event.data ?? {};
	const isCut = !parseError && !changes && firstLines(text).isCut;
	const contents = [
		facts(item),
		isCut && el("p", { class: "whole", dir: "auto" }, long(text, TEXT_CHARS, formatted)),
		changes && changeList(changes, moreChanges),
		pasted(json?.pastedContents),
		el("div", { class: "json" }, parseError ? long(raw(item), TEXT_CHARS, plain) : whole(item)),
	];
	return el("tr", { class: "detail" }, el("td", { colspan: 6 }, contents));
}

function facts(item) {
	const { ms, project, session, event } = item;
	const { offset, parseError } = event.data ?? {};
	const place = offset >= 0 && `at byte ${number(offset)}`;
	const known = flat([exact(ms), project, session, place, parseError]);
	const copies = Object.entries(COPIES).map(([name, [label, text, isOffered = text]]) => {
		return isOffered(item) && el("button", { "data-copy": name }, label);
	});
	const spans = known.map((fact) => el("span", {}, plain(fact)));
	const href = toHash({ open: session }, "sessions");
	const open = session && el("a", { class: "link", href }, "Open session");
	return el("div", { class: "facts" }, spans, el("span", { class: "actions" }, copies), open);
}

function changeList(changes, moreCount) {
	const rows = changes.map((change) => {
		const name = el("span", { class: "key" }, plain(nameOf(change)));
		const [from, to] = sidesOf(change).map((side) => valueOf(side, isSecret(change)));
		return el("li", {}, name, " ", from, " → ", to);
	});
	const more = moreCount && el("li", {}, `${number(moreCount)} more`);
	return el("ul", { class: "changes" }, rows, more);
}

function pasted(contents) {
	return Object.entries(contents ?? {}).map(([key, paste]) => {
		const { content, contentHash } = paste ?? {};
		const hint = `in paste-cache/${contentHash}.txt, which claude-live does not read`;
		const isText = typeof content === "string";
		const text = isText ? long(content, TEXT_CHARS, plain) : contentHash && plain(hint);
		const summary = el("summary", {}, plain(`Pasted text #${key}`));
		return text && el("details", { open: true }, summary, el("pre", { dir: "auto" }, text));
	});
}

/** Changes of a file are left out: they are listed apart, with secrets masked by their names. */
function whole(item) {
	const { event } = item;
	if (!event.data?.changes) return branch(tree(raw(item)), 0);
	const data = { ...event.data, changes: undefined };
	return branch(tree(JSON.stringify({ ...event, data })), 0);
}

/** Returns a whole record as a tree that is folded; as it is, if it is not JSON. */
export function recordTree(text) {
	const body = el("div", { class: "json" });
	const node = el("details", {}, el("summary", {}, "the whole record"), body);
	const draw = () => body.append(...flat([treeOrText(text)]));
	node.addEventListener("toggle", draw, { once: true });
	return node;
}

function treeOrText(text) {
	try {
		return branch(tree(text), 0);
	} catch {
		return long(text, TEXT_CHARS, plain);
	}
}

/** @param {import("./types.js").JsonNode} node @returns {any} */
function branch({ kind, text, key, items }, level, end = "") {
	const name = key && [el("span", { class: "key" }, plain(key)), ": "];
	if (items.length) return foldable(name, kind, items, level, end);
	if (kind === "object" || kind === "array") return [name, kind === "object" ? "{}" : "[]", end];
	if (key === '"data"' && BASE64.test(text)) return [name, base64Size(text), end];
	const isNamed = isSensitiveKey(key?.slice(1, -1) ?? "");
	const isSecret = isNamed && kind === "string" && text.length > 2;
	return [name, el("span", { class: kind }, valueOf(text, isSecret)), end];
}

/** Images and other files within a record. */
const BASE64 = /^"[\w+/]{1000,}={0,2}"$/;
const base64Size = (text) => `base64, ${bytes((text.length - 2) * 0.75)}`;

function valueOf(text, isSecret) {
	return isSecret ? mask(text, "by its name") : long(text, STRING_CHARS, plain);
}

function foldable(name, kind, items, level, end) {
	const [opening, closing] = kind === "object" ? "{}" : "[]";
	const body = el("div", { class: "items" });
	const isOpen = level < LEVELS;
	const draw = () => body.append(...lines(items, level));
	const folded = el("span", { class: "folded" }, ` ${number(items.length)} ${closing}${end}`);
	const summary = el("summary", {}, name, opening, folded);
	const node = el("details", { open: isOpen }, summary, body, closing, end);
	if (isOpen) draw();
	else node.addEventListener("toggle", draw, { once: true });
	return node;
}

function lines(items, level) {
	const end = (at) => (at < items.length - 1 ? "," : "");
	const line = (node, at) => el("div", {}, branch(node, level + 1, end(at)));
	const drawn = items.slice(0, ITEMS).map(line);
	if (items.length <= ITEMS) return drawn;
	const show = el("button", { class: "link" }, `show all ${number(items.length)}`);
	return [replaceable(show, () => items.map(line), drawn, show)];
}
