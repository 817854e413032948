/**
 * The records of a transcript as rows, oldest first: a tool call and its result are one row.
 * Past the bound, rows at the end that is not looked at are let go.
 * Invariant: no node, no clock, no network.
 */
import { firstLines } from "./items.js";
import { lowercase } from "./filter.js";
import { reachedBy } from "./older.js";
import { AGENT_TOOLS } from "./session.js";
/** @import { LiveEvent, Reached, TimeRow } from "./types.js" */

/** Most rows held. */
export const MOST_ROWS = 4_000;
/** As many quiet calls in a row become a group. */
const GROUPED = 3;
const CALLS = ["tool_use", "question", "plan"];
/** As Claude Code writes it, with more words behind. */
const INTERRUPTION = "[Request interrupted by user";
/** They say nothing to a reader. */
const SILENT = ["title"];

const isCall = ({ kind }) => CALLS.includes(kind);

/** Whether a row ends the turn before it: calls without a result run no more. */
const isEnd = ({ kind, text = "" }) =>
	["prompt", "turn_end"].includes(kind) || (kind === "notice" && text.startsWith(INTERRUPTION));

/** Whether a row is a call without its result. @param {TimeRow} row */
export const isUnanswered = (row) => isCall(row) && !row.result;

export class Timeline {
	/** @type {TimeRow[]} */
	rows = [];
	/** @type {Reached} */
	reached = { state: "unread" };
	/** Count of rows that were read from the file, with those that were let go. */
	lookedAt = 0;
	/** Rows at the end were let go, so new records do not continue the rows. */
	hasGap = false;
	/** @type {Map<string, TimeRow>} Calls by id. */
	#calls = new Map();
	/** @type {Map<string, TimeRow>} Results whose calls are further up. */
	#results = new Map();
	#known = new Set();
	/** Records of the stream that came before the first page. @type {LiveEvent[]} */
	#early = [];

	/**
	 * Takes a page of older records, newest first. Rows that are not wanted are let go first.
	 * @param {LiveEvent[]} records
	 * @param {number | null} before  as the server sends it
	 * @param {(row: TimeRow) => boolean} isWanted
	 */
	addOlder(records, before, isWanted = () => true) {
		const fresh = records.filter((record) => this.#isNew(record)).reverse();
		const rows = fresh.flatMap((record) => this.#rowsOf(record));
		const joined = new Set(rows.map(({ result }) => result).filter(Boolean));
		this.rows = rows.concat(this.rows.filter((row) => !joined.has(row)));
		this.reached = reachedBy(before);
		this.lookedAt += rows.length;
		if (this.rows.length > MOST_ROWS) {
			this.hasGap = true;
			this.rows = this.rows.filter(isWanted).slice(0, MOST_ROWS);
		}
		// Those that are not on the first page were written after it was read, or before it begins.
		for (const record of this.#early.splice(0)) {
			if (before === null || record.data.offset >= before) this.add(record);
		}
		this.#endCalls();
	}

	/**
	 * Takes a record of the stream, and returns how many new rows it has. Before the first page it
	 * waits: the page may have been read just before the record was written.
	 */
	add(record) {
		if (this.reached.state === "unread") {
			this.#early.push(record);
			if (this.#early.length > 2 * MOST_ROWS) this.#early.splice(0, MOST_ROWS);
			return 0;
		}
		if (this.hasGap || !this.#isNew(record)) return 0;
		const rows = this.#rowsOf(record);
		this.rows.push(...rows);
		if (rows.some(isEnd)) this.#endCalls();
		if (this.rows.length > 1.25 * MOST_ROWS) {
			for (const row of this.rows.splice(0, this.rows.length - MOST_ROWS)) this.#forget(row);
			this.reached = reachedBy(this.rows[0].offset);
		}
		return rows.length;
	}

	/** Marks the calls before the end of their turn. A result can come later still. */
	#endCalls() {
		/** @type {Set<string | null>} Subagents; null is the session itself, with all of them. */
		const ended = new Set();
		for (const row of this.rows.toReversed()) {
			if (isEnd(row)) ended.add(row.agentId);
			else if (isCall(row)) row.isOver ||= ended.has(null) || ended.has(row.agentId);
		}
	}

	#forget({ toolUseId = "", recordKey }) {
		this.#calls.delete(toolUseId);
		this.#known.delete(recordKey);
	}

	#isNew(record) {
		const key = keyOf(record);
		const isNew = !this.#known.has(key);
		this.#known.add(key);
		return isNew;
	}

	#rowsOf(record) {
		const blocks = record.data.blocks ?? [];
		const rows = blocks.map((block, at) => rowOf(record, block, at));
		return rows.filter((row) => !SILENT.includes(row.kind) && !this.#join(row));
	}

	/** Joins a call and its result. Returns whether the row is a result that has its call. */
	#join(row) {
		const id = row.toolUseId;
		if (!id) return false;
		if (isCall(row)) {
			this.#calls.set(id, row);
			if (this.#results.has(id)) row.result = this.#results.get(id);
			return false;
		}
		const call = this.#calls.get(id);
		if (call) call.result ??= row;
		else this.#results.set(id, row);
		return Boolean(call);
	}
}

const keyOf = ({ data: { agentId, offset, uuid, recordType } }) =>
	[agentId, offset, uuid, recordType].join();

/** @returns {TimeRow} */
function rowOf(record, block, at) {
	const { offset, bytes, agentId } = record.data;
	const recordKey = keyOf(record);
	const ms = Date.parse(record.ts) || undefined;
	return { ...block, key: `${recordKey},${at}`, recordKey, ms, offset, bytes, agentId };
}

/**
 * Whether a row needs no look of its own: a call that went well, or a thought.
 * @param {TimeRow} row
 */
function isQuiet({ kind, name = "", result }) {
	if (kind === "thinking") return true;
	const isPlain = kind === "tool_use" && !AGENT_TOOLS.includes(name);
	return isPlain && result && !result.isError && !result.denied;
}

/**
 * Returns the rows with runs of quiet calls as groups.
 * @param {TimeRow[]} rows
 * @param {(row: TimeRow) => boolean} isApart  whether a row is in no group
 * @returns {TimeRow[][]} a group is longer than 1
 */
export function grouped(rows, isApart = () => false) {
	const isGrouped = (row) => isQuiet(row) && !isApart(row);
	/** @type {TimeRow[][]} */
	const out = [];
	for (let from = 0; from < rows.length; ) {
		let to = from;
		while (to < rows.length && isGrouped(rows[to])) to += 1;
		const run = rows.slice(from, to);
		if (run.filter(({ kind }) => kind === "tool_use").length >= GROUPED) out.push(run);
		else out.push(...run.map((row) => [row]));
		if (to === from) out.push([rows[to]]);
		from = Math.max(to, from + 1);
	}
	return out;
}

const dayOf = (ms) => new Date(ms).setHours(0, 0, 0, 0);

/**
 * Returns the starts of days, in local time, by the groups with which they begin; none if all is
 * of today. A time that goes back begins no day.
 * @param {TimeRow[][]} groups
 * @returns {Map<TimeRow[], number>}
 */
export function daysOf(groups, now) {
	const starts = new Map();
	/** @type {number | undefined} */
	let last;
	for (const group of groups.filter(([{ ms }]) => ms !== undefined)) {
		const day = dayOf(group[0].ms);
		const isFirst = last === undefined;
		if (isFirst ? day !== dayOf(now) : day > Number(last)) starts.set(group, day);
		last = Math.max(day, last ?? day);
	}
	return starts;
}

/** Returns the duration of a call in milliseconds, if it is known. @param {TimeRow} row */
export function durationOf({ ms, durationMs, result }) {
	if (durationMs !== undefined) return durationMs;
	if (result?.durationMs !== undefined) return result.durationMs;
	return result?.ms !== undefined && ms !== undefined ? result.ms - ms : undefined;
}

/** Returns a group's calls by tool, the most frequent first, and its time from end to end. */
export function summaryOf(group) {
	const calls = group.filter(({ kind }) => kind === "tool_use");
	const counts = new Map();
	for (const { name } of calls) counts.set(name, (counts.get(name) ?? 0) + 1);
	const tools = [...counts].sort((a, b) => b[1] - a[1]);
	const [first, last] = [calls[0], calls.at(-1)];
	const end = last.result?.ms ?? last.ms;
	return { count: calls.length, tools, ms: end - first.ms };
}

/** Returns the texts of a row that a search looks at, in lower case. @param {TimeRow} row */
export const haystackOf = ({ kind, name, text, result }) =>
	lowercase([kind, name, text, result?.text].filter(Boolean).join("\n"));

/** Returns the first words of a result that is worth telling: an answer, a failure. */
export function outcomeOf({ kind, name = "", result }) {
	if (!result) return undefined;
	const isTelling = result.isError || result.denied || kind !== "tool_use";
	if (!isTelling && !AGENT_TOOLS.includes(name)) return undefined;
	return firstLines(result.text ?? "").head.split("\n")[0];
}

/** @typedef {{ kind: "text" | "input" | "image", text: string, name?: string }} Part */

/** Returns the readable parts of a whole record. @returns {Part[]} */
export function partsOf(record) {
	const content = record.message?.content ?? record.content ?? record.attachment?.prompt;
	if (typeof content === "string") return [{ kind: "text", text: content }];
	return Array.isArray(content) ? content.flatMap(partsOfBlock) : [];
}

/** @returns {Part[]} */
function partsOfBlock(block) {
	const { type, text, thinking, input, content, source } = block ?? {};
	if (type === "image" || type === "document") return [imageOf(source)];
	if (type === "tool_result") return partsOf({ content });
	const words = text ?? thinking;
	if (typeof words === "string") return words ? [{ kind: "text", text: words }] : [];
	return Object.entries(input ?? {}).map(([name, value]) => {
		const isText = typeof value === "string";
		return { kind: "input", name, text: isText ? value : JSON.stringify(value, null, 2) };
	});
}

/** Three bytes are four characters of base64. @returns {Part} */
function imageOf({ media_type = "image", data = "" } = /** @type {any} */ ({})) {
	return { kind: "image", text: String(media_type), name: String(data.length * 0.75) };
}
