/**
 * The rows of a timeline as nodes, and the contents of a row that is open.
 * Invariant: knows rows and nodes, not the state of the page.
 */
import { since } from "./cards.js";
import { formatted, long, plain, recordTree } from "./details.js";
import { el, flat, setAttr, setText } from "./dom.js";
import { brief, bytes, clock, date, exact, number, plural } from "./format.js";
import { firstLines } from "./items.js";
import { took } from "./session.js";
import { durationOf, isUnanswered, outcomeOf, partsOf, summaryOf } from "./timeline.js";

/** Longer texts are cut until "show all" is clicked. */
const TEXT_CHARS = 4_000;
/** Calls that take less have no duration. */
const LEAST_MS = 50;
/** Tools that a group names. */
const NAMED = 4;

/** Sign and name of each kind of row. @type {Record<string, string[]>} */
const KINDS = {
	prompt: ["›", "prompt"],
	text: ["✻", "answer"],
	thinking: ["∴", "thought"],
	tool_use: ["⚙", "tool call"],
	tool_result: ["↩", "result"],
	question: ["?", "question"],
	plan: ["▤", "plan"],
	compaction: ["⇲", "compaction"],
	error: ["×", "error"],
	turn_end: ["■", "end of turn"],
	notice: ["i", "notice"],
	other: ["·", "other record"],
};

/** Returns a line that is no row: it says of which day the rows below it are. */
export const newDate = (ms) => el("li", { class: "date" }, el("h3", {}, date(ms)));

export function newGroup() {
	const node = newLine("group of tool calls");
	node.list = el("ol", {});
	node.append(node.list);
	setAttr(node, "data-kind", "group");
	return node;
}

export function newRow(row) {
	const node = newLine(KINDS[row.kind]?.[1] ?? row.kind);
	setAttr(node, "data-kind", row.kind);
	node.row = row;
	return node;
}

function newLine(name) {
	const label = `Details of this ${name}`;
	const open = { class: "open", tabindex: -1, "aria-expanded": "false", "aria-label": label };
	const cells = [
		el("time", {}),
		el("span", { class: "sign", "aria-hidden": true }),
		el("div", { class: "what" }),
		el("span", { class: "took" }),
		el("button", open),
	];
	return el("li", {}, el("div", { class: "line" }, cells));
}

export function fillLine(node, { ms, sign, name, what, duration }) {
	const [time, signNode, whatNode, took] = node.firstElementChild.children;
	if (ms !== undefined) {
		setText(time, clock(ms));
		time.title = exact(ms);
	}
	setText(signNode, sign);
	whatNode.replaceChildren(...flat([el("span", { class: "sr" }, `${name}: `), what]));
	took.replaceChildren(duration);
}

/** @param {boolean} isRunning  the row is a call that may get its result yet */
export function rowLine(row, isRunning) {
	const [sign, name] = KINDS[row.kind] ?? KINDS.other;
	const duration = durationOf(row);
	const isLong = duration !== undefined && duration >= LEAST_MS;
	const words = isRunning ? since(row.ms, Date.now()) : isUnanswered(row) ? "no result" : "";
	const shown = isLong ? took(duration) : words;
	return { ms: row.ms, sign, name, what: whatOf(row), duration: shown };
}

function whatOf(row) {
	const { kind, name, text = "", result } = row;
	if (kind === "turn_end") return "End of the turn";
	const { head, moreLines } = firstLines(text);
	const isCode = kind === "tool_use" || kind === "tool_result";
	const outcome = outcomeOf(row);
	return [
		name && el("b", {}, brief(name)),
		el("span", { class: "said", dir: "auto" }, isCode ? plain(head) : formatted(head)),
		moreLines > 0 && el("span", { class: "note" }, `+${plural(moreLines, "line")}`),
		result?.denied && el("span", { class: "error" }, `denied: ${brief(result.denied)}`),
		outcome && el("span", { class: "outcome", dir: "auto" }, plain(outcome)),
	];
}

export function groupLine(group) {
	const { count, tools, ms } = summaryOf(group);
	const named = tools.slice(0, NAMED).map(([name, calls]) => `${number(calls)} ${brief(name)}`);
	const more = tools.length - named.length;
	if (more > 0) named.push(`${more} other`);
	const what = `${plural(count, "tool call")} — ${named.join(", ")}`;
	const duration = ms >= 0 ? took(ms) : "";
	return { ms: group[0].ms, sign: "▸", name: "group", what, duration };
}

/** @param {{ text?: string, problem?: string }} record */
export function recordNodes({ text = "", problem }, title = "") {
	if (problem) return [el("p", { class: "note error" }, problem)];
	const heading = title && el("p", { class: "note" }, title);
	return [heading, partsOf(parsed(text)).map(partNode), recordTree(text)];
}

/** A line can hold several records, or half of one; then the tree shows all there is. */
function parsed(text) {
	try {
		return JSON.parse(text);
	} catch {
		return {};
	}
}

function partNode({ kind, text, name = "" }) {
	if (kind === "image") {
		return el("p", {}, el("span", { class: "chip" }, `${brief(text)}, ${bytes(Number(name))}`));
	}
	const words = el("div", { class: "whole", dir: "auto" }, long(text, TEXT_CHARS, plain));
	return kind === "input" ? [el("p", { class: "note key" }, brief(name)), words] : words;
}
