/**
 * Values as text: times, sizes, names, and the special parts of a prompt.
 * Invariant: pure; times are passed in.
 */
import { masked, secrets } from "./secrets.js";
/** @import { Piece } from "./types.js" */

const NAME_CHARS = 40;

const UNITS_MS = Object.entries({ d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 });
const NOW_MS = 5_000;

export function ago(ms) {
	const isReached = ([, length]) => ms >= Math.max(length, NOW_MS);
	const [unit, length] = UNITS_MS.find(isReached) ?? [];
	return length ? `${Math.floor(ms / length)}${unit}` : "now";
}

/** @type {any} */
const EXACT = { dateStyle: "full", timeStyle: "medium" };
/** @type {any} */
const DATE = { dateStyle: "full" };
/** @type {any} */
const CLOCK = { hour: "2-digit", minute: "2-digit" };
/** Created on first use: `Intl` takes 30 ms to start. @type {Intl.DateTimeFormat | undefined} */
let exactFormat;
/** @type {Intl.DateTimeFormat | undefined} */
let dateFormat;
/** @type {Intl.DateTimeFormat | undefined} */
let clockFormat;

export const exact = (ms) => (exactFormat ??= new Intl.DateTimeFormat([], EXACT)).format(ms);
export const date = (ms) => (dateFormat ??= new Intl.DateTimeFormat([], DATE)).format(ms);
export const clock = (ms) => (clockFormat ??= new Intl.DateTimeFormat([], CLOCK)).format(ms);
export const number = (count) => (count < 1000 ? String(count) : count.toLocaleString());
export const inflect = (count, one) => (count === 1 ? one : `${one}s`);
export const plural = (count, one) => `${number(count)} ${inflect(count, one)}`;

export function bytes(count) {
	const step = Math.min(3, Math.floor(Math.log10(Math.max(count, 1)) / 3));
	const scaled = count / 1000 ** step;
	const digits = step && scaled < 100 ? scaled.toFixed(1) : Math.round(scaled);
	return `${digits} ${["B", "KB", "MB", "GB"][step]}`;
}

/** Returns US dollars: `$12.34`, `$1,235`, `<$0.01`. */
export function usd(cost) {
	if (cost > 0 && cost < 0.01) return "<$0.01";
	return `$${cost < 999.995 ? cost.toFixed(2) : number(Math.round(cost))}`;
}

/** @type {Record<string, any>} */
const DAYS = {
	full: { weekday: "short", month: "short", day: "numeric" },
	week: { weekday: "short" },
	date: { month: "short", day: "numeric" },
};
/** @type {Record<string, Intl.DateTimeFormat>} */
const dayFormats = {};

/** Returns `Wed, Nov 25`, `Wed` or `Nov 25` for `2026-11-25`. */
export function dayName(day, kind = "full") {
	const parts = { ...DAYS[kind], timeZone: "UTC" };
	return (dayFormats[kind] ??= new Intl.DateTimeFormat([], parts)).format(new Date(day));
}

export const cannotRead = ({ path, msg }) => `Cannot read ${path}: ${msg}`;

/** Claude Code's folder of a project's worktrees; its name does not identify the project. */
const WORKTREES = /[\\/]\.claude[\\/]worktrees(?=[\\/])/;

/** Splits a path of any operating system. */
const segments = (path) => path.replace(WORKTREES, "").split(/[\\/]+/).filter(Boolean);

/**
 * Returns a name for each path: its last segment, after the nearest folder that distinguishes it
 * from other paths with that last segment.
 * @param {Iterable<string>} paths
 * @returns {Map<string, string>}
 */
export function namesOf(paths) {
	const split = new Map(Array.from(paths, (path) => [path, segments(path)]));
	const distinct = new Set(Array.from(split.values(), (all) => all.join("/")));
	const counts = new Map();
	for (const path of distinct) {
		for (let end = path; end; end = end.replace(/^[^/]*\/?/, "")) {
			counts.set(end, (counts.get(end) ?? 0) + 1);
		}
	}
	const nameOf = (path, all) => shortest(all, WORKTREES.test(path) ? 2 : 1, counts) || path;
	return new Map(Array.from(split, ([path, all]) => [path, nameOf(path, all)]));
}

function shortest(all, least, counts) {
	let count = least;
	while (count < all.length && counts.get(all.slice(-count).join("/")) > 1) count += 1;
	const [folder, ...rest] = all.slice(-count);
	return [folder, rest.length > 1 && "…", rest.at(-1)].filter(Boolean).join("/");
}

export const shortId = (session) => session.slice(0, 8);

/** Shortens a text without cutting an emoji in two. */
export function clip(text, chars) {
	if (text.length <= chars) return text;
	return text.slice(0, chars).replace(/[\uD800-\uDBFF]$/, "") + "…";
}

/** Shortens a text for a place that takes plain text only, such as a title. */
export function brief(text, chars = NAME_CHARS) {
	return masked(clip(text, chars)).replace(INVISIBLE, codePointOf);
}

/** They show nothing or change their neighbours, except joiners in emoji and scripts. */
const CONTROLS =
	String.raw`\0-\x08\x0B-\x1F\x7F-\x9F\xAD\u061C\u180E\u200B\u200E\u200F\u2028-\u202E` +
	String.raw`\u2060-\u206F\uFEFF\uFFF9-\uFFFB`;
const TAGS = String.raw`\u{E0000}-\u{E007F}`;
/** Tags behind a black flag spell the flag of a region, which shows. */
const INVISIBLE = new RegExp(
	String.raw`(?:[${CONTROLS}]|(?<!\u{1F3F4}[${TAGS}]{0,7})[${TAGS}]){1,40}`,
	"gu",
);

/** Placeholders of Claude Code, and `code`. */
const PLACEHOLDER =
	String.raw`Pasted text #\d+(?: \+\d+ lines)?|(?:Image|Audio) #\d+|` +
	String.raw`\.{3}Truncated text #\d+ \+\d+ lines\.{3}`;
const SPECIAL = new RegExp(
	String.raw`\[(?<chip>${PLACEHOLDER})\]|\x60(?<code>[^\x60\n${CONTROLS}${TAGS}]{1,200})\x60`,
	"gu",
);

/**
 * Splits a text into its secrets and the pieces that `between` finds in the rest.
 * @returns {Piece[]}
 */
export function pieces(text, between = special) {
	const secret = ({ name }, part) => ({ kind: "secret", text: part, name });
	return split(text, secrets(text), between, secret);
}

/** Splits off invisible characters only. */
export function verbatim(text) {
	const invisible = (_, part) => ({ kind: "invisible", text: codePointOf(part) });
	return split(text, spansOf(text, INVISIBLE), asText, invisible);
}

function special(text) {
	const within = ({ chip, code }) =>
		chip ? { kind: "chip", text: chip } : { kind: "code", text: code };
	return split(text, spansOf(text, SPECIAL), verbatim, within);
}

const asText = (text) => [{ kind: "text", text }];
const codePointOf = (text) => `U+${text.codePointAt(0).toString(16)}`;

/** @returns {any[]} */
function spansOf(text, shape) {
	const span = ({ 0: { length }, index, groups }) => ({
		start: index,
		end: index + length,
		...groups,
	});
	return Array.from(text.matchAll(shape), span);
}

function split(text, spans, between, within) {
	let reached = 0;
	const out = spans.flatMap((span) => {
		const before = text.slice(reached, span.start);
		reached = span.end;
		return [...(before ? between(before) : []), within(span, text.slice(span.start, span.end))];
	});
	return reached < text.length ? out.concat(between(text.slice(reached))) : out;
}
