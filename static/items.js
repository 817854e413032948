/**
 * Events as items: the kind, the text and the commands of a row.
 * Invariant: pure; times are passed in.
 */
import { brief, bytes, clip, number } from "./format.js";
import { isSensitiveKey } from "./secrets.js";
/** @import { Change, Item, LiveEvent } from "./types.js" */

/** Size of a closed row. */
const ROW_LINES = 3;
const ROW_CHARS = 600;

/** Sign and name of each kind of row. @type {Record<string, string[]>} */
export const KINDS = {
	prompt: ["›", "prompt"],
	command: ["/", "slash command"],
	shell: ["!", "shell command"],
	broken: ["⚠", "malformed line"],
	agent: ["✻", "agent"],
	file: ["≡", "file change"],
	notice: ["i", "notice"],
	error: ["×", "error"],
	other: ["·", "other event"],
};

/** Kind and text by type of event. @type {Map<string, (data: any) => string[]>} */
const TYPES = new Map(
	Object.entries({
		"history.append": line,
		"transcript.append": ({ blocks = [] }) => ["agent", blocks.map(work).join("\n")],
		"file.changed": (data) => ["file", fileText(data)],
		"server.notice": ({ msg, kind, reason }) => [
			"notice",
			NOTICES[kind]?.(reason) ?? String(msg ?? kind),
		],
		"server.error": ({ msg, kind, path }) => [
			"error",
			[msg ?? kind, path].filter(Boolean).join(" · "),
		],
	}),
);

/** Notices whose message from the server is meant for programs. */
const NOTICES = {
	"history.reset": (reason) =>
		`the history file was ${reason === "truncated" ? "emptied or rewritten" : reason}`,
};

/** A slash command is one word; `/home/me/notes.md is wrong` is a prompt. */
const SLASH_COMMAND = /^\/[\w:.-]+(?:\s|$)/;

/** @param {LiveEvent} event @param {number} now  used if the event's time is invalid */
export function item(event, now) {
	const data = event.data ?? {};
	const { project = "", sessionId: session = "" } = data.summary ?? data;
	const [kind, text] = TYPES.get(event.type)?.(data) ?? ["other", JSON.stringify(event)];
	const ms = Date.parse(event.ts) || now;
	/** @type {Item} */
	const item = { id: event.id, ms, kind, text, project, session, isOpen: false, event };
	const machine = event.machine ?? data.machine;
	if (machine) item.machine = machine;
	return item;
}

function line({ parseError, rawLine, summary }) {
	const text = summary?.display;
	if (parseError) return ["broken", clip(rawLine, ROW_CHARS / 4)];
	if (typeof text !== "string") return ["other", rawLine];
	if (SLASH_COMMAND.test(text)) return ["command", text];
	return [text.startsWith("!") ? "shell" : "prompt", text.trim() ? text : "(empty prompt)"];
}

function fileText({ path, change, size, changes: [first, ...rest] = [], moreChanges = 0 }) {
	const more = rest.length + moreChanges;
	const difference = first && changeText(first) + (more ? `, and ${number(more)} more` : "");
	return [`${path} ${change}`, size >= 0 && bytes(size), difference].filter(Boolean).join(" · ");
}

function changeText(change) {
	const [from, to] = sidesOf(change).map((side) => (isSecret(change) ? "••••" : brief(side)));
	return `\`${nameOf(change)}\` ${from} → ${to}`;
}

/** Returns the name of the changed value: its JSON Pointer without the slash in front. */
export function nameOf({ path }) {
	return path.slice(1).replaceAll("~1", "/").replaceAll("~0", "~") || "the whole file";
}

/** Returns the value before and after, as JSON. @param {Change} change */
export function sidesOf({ from, to }) {
	return [from, to].map((side) => (side === undefined ? "absent" : JSON.stringify(side)));
}

/** @param {Change} change */
export const isSecret = ({ path }) => isSensitiveKey(path.split("/").at(-1) ?? "");

const PASTED = /\[Pasted text #(\d+)[^\]]*\]/g;

/** Returns the prompt with the pasted texts that its line contains. @param {LiveEvent} event */
export function promptOf({ data }) {
	const pasted = data?.json?.pastedContents ?? {};
	const contentOf = (key) => Object.hasOwn(pasted, key) && pasted[key]?.content;
	return (data?.summary?.display ?? "").replace(PASTED, (placeholder, key) => {
		const content = contentOf(key);
		return typeof content === "string" ? content : placeholder;
	});
}

/** A control character could end the command in a terminal. */
const CONTROL = /[\0-\x1F\x7F-\x9F]/;
const SESSION_ID = /^\w[\w-]*$/;

/** Returns a command for a POSIX shell, if one is safe. @param {Item} item */
export function resumeOf({ project, session }) {
	if (!SESSION_ID.test(session) || CONTROL.test(project)) return undefined;
	const folder = project && `cd '${project.replaceAll("'", "'\\''")}' && `;
	return `${folder}claude --resume ${session}`;
}

export const isHistory = ({ event }) => event.type === "history.append";

/** Blocks that tell what an agent does; results and thoughts do not. */
const TELLING = ["tool_use", "question", "plan", "text", "error", "turn_end"];

/** Whether an event is of an agent's work: tools, answers, ends of turns. */
export const isWork = ({ type, data }) =>
	type === "transcript.append" && data.blocks?.some(({ kind }) => TELLING.includes(kind));

const work = ({ kind, name, text }) =>
	kind === "turn_end" ? "End of the turn" : [name, text].filter(Boolean).join(" ");

/** Whether a person typed it. */
export const isTyped = ({ kind }) => ["prompt", "command", "shell"].includes(kind);

/** @param {LiveEvent} event @returns {string | undefined} */
export const noticeKind = ({ type, data }) => (type === "server.notice" ? data?.kind : undefined);

/** Returns the text of a closed row, without blank lines. */
export function firstLines(text) {
	const lines = text.trimEnd().split("\n").filter((line) => line.trim());
	const head = clip(lines.slice(0, ROW_LINES).join("\n"), ROW_CHARS);
	const moreLines = Math.max(0, lines.length - ROW_LINES);
	return { head, moreLines, isCut: head !== text.trimEnd() };
}
