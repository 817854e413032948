/**
 * How an event reads: its kind, its words, times, colours.
 * Invariant: pure; times are passed in.
 */
import { masked, secrets } from "./secrets.js";

/** In a row. */
const ROW_LINES = 3;
const ROW_CHARS = 600;
const NAME_CHARS = 40;

/** Steps of the colour wheel that are told apart. */
const HUES = 16;

/** The sign and the name of each kind of row. @type {Record<string, string[]>} */
export const KINDS = {
	prompt: ["›", "prompt"],
	command: ["/", "slash command"],
	shell: ["!", "shell command"],
	broken: ["⚠", "malformed line"],
	file: ["≡", "file change"],
	notice: ["i", "notice"],
	error: ["×", "error"],
	other: ["·", "other event"],
};

/** The kind and the words of each type of event. */
const TYPES = new Map(Object.entries({
	"history.append": prompt,
	"file.changed": ({ path, change, size }) => ["file", `${path} ${change}${size >= 0 ? ` · ${bytes(size)}` : ""}`],
	"server.notice": ({ msg, kind, reason }) => ["notice", NOTICES[kind]?.(reason) ?? String(msg ?? kind)],
	"server.error": ({ msg, kind, path }) => ["error", [msg ?? kind, path].filter(Boolean).join(" · ")],
}));

/** Where the server's words are for programs. */
const NOTICES = {
	"stream.resync": () => "claude-live was restarted or far ahead; the rows are up to date",
	"history.reset": (reason) => `the history file was ${reason === "truncated" ? "emptied or rewritten" : reason}`,
};

/** A slash command is one word; `/home/me/notes.md is wrong` is a prompt. */
const SLASH_COMMAND = /^\/[\w:.-]+(?:\s|$)/;

/** `now` is for a time that cannot be read. @param {LiveEvent} event @returns {Item} */
export function item(event, now) {
	const data = event.data ?? {};
	const { project = "", sessionId: session = "" } = data.summary ?? {};
	const [kind, text] = TYPES.get(event.type)?.(data) ?? ["other", JSON.stringify(event)];
	return { id: event.id, ms: Date.parse(event.ts) || now, kind, text, project, session, open: false, event };
}

function prompt({ parseError, rawLine, summary }) {
	const text = summary?.display;
	if (parseError) return ["broken", clip(rawLine, ROW_CHARS / 4)];
	if (typeof text !== "string") return ["other", rawLine];
	if (SLASH_COMMAND.test(text)) return ["command", text];
	return [text.startsWith("!") ? "shell" : "prompt", text.trim() ? text : "(empty prompt)"];
}

const PASTED = /\[Pasted text #(\d+)[^\]]*\]/g;

/** As it was typed, with the pasted texts that the line has. @param {LiveEvent} event */
export function promptOf({ data }) {
	const pasted = data?.json?.pastedContents ?? {};
	return (data?.summary?.display ?? "").replace(PASTED, (chip, key) => (Object.hasOwn(pasted, key) && typeof pasted[key]?.content === "string" ? pasted[key].content : chip));
}

/** Controls could end a line in a terminal, so these have no command. */
const CONTROL = /[\0-\x1F\x7F-\x9F]/;
const SESSION_ID = /^\w[\w-]*$/;

/** For a POSIX shell; empty where there is none. @param {Item} item */
export function resumeOf({ project, session }) {
	if (!SESSION_ID.test(session) || CONTROL.test(project)) return "";
	return `${project && `cd '${project.replaceAll("'", "'\\''")}' && `}claude --resume ${session}`;
}

export const isHistory = ({ event }) => event.type === "history.append";

/** Whether a person typed it. */
export const isTyped = ({ kind }) => ["prompt", "command", "shell"].includes(kind);

/** In milliseconds. */
const UNITS = Object.entries({ d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 });
const NOW_MS = 5_000;

export function ago(ms) {
	const [unit, length] = UNITS.find(([, length]) => ms >= Math.max(length, NOW_MS)) ?? [];
	return length ? `${Math.floor(ms / length)}${unit}` : "now";
}

/** Made when wanted: `Intl` takes 30 ms to wake up. @type {Intl.DateTimeFormat | undefined} */
let full;

export const exact = (ms) => (full ??= new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" })).format(ms);
export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
export const number = (count) => (count < 1000 ? String(count) : count.toLocaleString());
export const inflect = (count, one) => (count === 1 ? one : `${one}s`);
export const plural = (count, one) => `${number(count)} ${inflect(count, one)}`;

export function bytes(count) {
	const step = Math.min(3, Math.floor(Math.log10(Math.max(count, 1)) / 3));
	const scaled = count / 1000 ** step;
	return `${step && scaled < 100 ? scaled.toFixed(1) : Math.round(scaled)} ${["B", "KB", "MB", "GB"][step]}`;
}

/** Where Claude Code keeps a project's worktrees: no folder that tells anything. */
const WORKTREES = /[\\/]\.claude[\\/]worktrees(?=[\\/])/;

/** Of a path of any system. */
const segments = (path) => path.replace(WORKTREES, "").split(/[\\/]+/).filter(Boolean);

/** Of each path its last segment, and before that the next folder that no other path with this name has there. @returns {Map<string, string>} */
export function namesOf(paths) {
	const wholes = new Map(Array.from(paths, (path) => [path, segments(path)]));
	const counts = new Map();
	for (const whole of new Set(Array.from(wholes.values(), (all) => all.join("/")))) {
		for (let end = whole; end; end = end.replace(/^[^/]*\/?/, "")) counts.set(end, (counts.get(end) ?? 0) + 1);
	}
	return new Map(Array.from(wholes, ([path, all]) => [path, nameOf(all, WORKTREES.test(path) ? 2 : 1, counts) || path]));
}

function nameOf(all, least, counts) {
	let count = least;
	while (count < all.length && counts.get(all.slice(-count).join("/")) > 1) count += 1;
	const [folder, ...rest] = all.slice(-count);
	return [folder, rest.length > 1 && "…", rest.at(-1)].filter(Boolean).join("/");
}

export const shortId = (session) => session.slice(0, 8);

/** In degrees; a name has the same every day. */
export function hue(name) {
	let hash = 2166136261;
	for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 16777619);
	return (((hash >>> 8) % HUES) * 360) / HUES;
}

/** Blank lines are neither shown nor counted. */
export function firstLines(text) {
	const lines = text.trimEnd().split("\n").filter((line) => line.trim());
	const head = clip(lines.slice(0, ROW_LINES).join("\n"), ROW_CHARS);
	return { head, moreLines: lines.length - ROW_LINES, isCut: head !== text.trimEnd() };
}

/** Cuts no emoji in two. */
export function clip(text, chars) {
	if (text.length <= chars) return text;
	return text.slice(0, chars).replace(/[\uD800-\uDBFF]$/, "") + "…";
}

/** For where nothing can be marked. */
export const brief = (text, chars = NAME_CHARS) => masked(clip(text, chars)).replace(ODD, codeOf);

/** Show nothing or act on the text around them; the joiners of emoji and scripts do not. */
const UNSEEN = String.raw`\0-\x08\x0B-\x1F\x7F-\x9F\xAD\u061C\u180E\u200B\u200E\u200F\u2028-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB`;
const TAGS = String.raw`\u{E0000}-\u{E007F}`;
/** Tags spell the flags of regions behind a black one. */
const ODD = new RegExp(String.raw`(?:[${UNSEEN}]|(?<!\u{1F3F4}[${TAGS}]{0,7})[${TAGS}]){1,40}`, "gu");

/** Placeholders and `code`. */
const SPECIAL = new RegExp(
	String.raw`\[(?<chip>Pasted text #\d+(?: \+\d+ lines)?|(?:Image|Audio) #\d+|\.{3}Truncated text #\d+ \+\d+ lines\.{3})\]|\x60(?<code>[^\x60\n${UNSEEN}${TAGS}]{1,200})\x60`,
	"gu",
);

/** @param {string} text @returns {Piece[]} secrets, and what `between` finds in the rest */
export function pieces(text, between = special) {
	return split(text, secrets(text), between, ({ name }, part) => ({ kind: "secret", text: part, name }));
}

/** Only what does not show is found. */
export const verbatim = (text) => split(text, spansOf(text, ODD), asText, (_, odd) => ({ kind: "odd", text: codeOf(odd) }));

function special(text) {
	return split(text, spansOf(text, SPECIAL), verbatim, ({ chip, code }) => (chip ? { kind: "chip", text: chip } : { kind: "code", text: code }));
}

const asText = (text) => [{ kind: "text", text }];
const codeOf = (odd) => `U+${odd.codePointAt(0).toString(16)}`;

/** @returns {any[]} */
function spansOf(text, shape) {
	return Array.from(text.matchAll(shape), ({ 0: all, index, groups }) => ({ start: index, end: index + all.length, ...groups }));
}

function split(text, spans, between, within) {
	let rest = 0;
	const out = spans.flatMap((span) => {
		const before = text.slice(rest, span.start);
		rest = span.end;
		return [...(before ? between(before) : []), within(span, text.slice(span.start, span.end))];
	});
	return rest < text.length ? out.concat(between(text.slice(rest))) : out;
}
