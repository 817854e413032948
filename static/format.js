// @ts-check
/**
 * How an event reads: its kind, its words, times, colours.
 *
 * Invariant: pure. No node, no clock (times are passed in), no state.
 */
import { secrets } from "./secrets.js";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A row shows this many of a prompt's lines, and at most this many characters of them. */
const ROW_LINES = 3;
const ROW_CHARS = 600;

/** Colours are this many steps of the wheel: nearer ones are not told apart. */
const HUES = 16;

/**
 * @typedef {object} LiveEvent as the server sends it
 * @property {number} id
 * @property {string} ts
 * @property {string} type
 * @property {any} data
 */

/**
 * @typedef {object} Item an event as the page holds it
 * @property {number} id
 * @property {number} ms its time, in milliseconds since 1970
 * @property {string} kind a key of `KINDS`
 * @property {string} text what its row says
 * @property {string} project empty where there is none
 * @property {string} session empty where there is none
 * @property {boolean} open whether its row shows the whole event
 * @property {LiveEvent} event
 * @property {string} [haystack] what the search looks through, made on first use
 */

/** Kinds of rows: the sign that stands for one, its name, its plural. */
export const KINDS = new Map([
  ["prompt", ["›", "prompt", "prompts"]],
  ["command", ["/", "slash command", "slash commands"]],
  ["shell", ["!", "shell command", "shell commands"]],
  ["broken", ["⚠", "malformed line", "malformed lines"]],
  ["file", ["≡", "file change", "file changes"]],
  ["notice", ["i", "notice", "notices"]],
  ["error", ["×", "error", "errors"]],
  ["other", ["·", "other event", "other events"]],
]);

/** How each type of event is shown; a type that is not here is `other`, with its data as text. @type {Map<string, (data: any) => { kind: string, text: string }>} */
const TYPES = new Map([
  ["history.append", (data) => prompt(data)],
  ["file.changed", (data) => ({ kind: "file", text: changed(data) })],
  ["server.notice", (data) => ({ kind: "notice", text: words(data.msg ?? data.kind) })],
  ["server.error", (data) => ({ kind: "error", text: [data.msg ?? data.kind, data.path].filter(Boolean).map(words).join(" · ") })],
]);

/** A slash command is one word; `/home/me/notes.md is wrong` is a prompt. */
const SLASH_COMMAND = /^\/[\w:.-]+(?:\s|$)/;

/** @param {LiveEvent} event @param {number} now @returns {Item} */
export function item(event, now) {
  const data = event.data ?? {};
  const show = TYPES.get(event.type) ?? (() => ({ kind: "other", text: `${event.type} ${JSON.stringify(data)}` }));
  const { project = "", sessionId = "" } = data.summary ?? {};
  const ms = Date.parse(event.ts);
  return { id: event.id, ms: Number.isNaN(ms) ? now : ms, project, session: sessionId, open: false, event, ...show(data) };
}

/** @param {any} data */
function prompt(data) {
  if (data.parseError) return { kind: "broken", text: data.rawLine };
  const text = data.summary?.display;
  if (typeof text !== "string") return { kind: "other", text: data.rawLine };
  if (SLASH_COMMAND.test(text)) return { kind: "command", text };
  return { kind: text.startsWith("!") ? "shell" : "prompt", text };
}

/** @param {any} data */
function changed({ path, change, size }) {
  return `${words(path)} ${words(change)}${typeof size === "number" ? ` · ${bytes(size)}` : ""}`;
}

/** @param {any} value */
function words(value) {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

/** @param {Item} item */
export function isHistory(item) {
  return item.event.type === "history.append";
}

/** What a person typed, as against a line that only was in the file. @param {Item} item */
export function isTyped({ kind }) {
  return kind === "prompt" || kind === "command" || kind === "shell";
}

/** @param {number} ms of age */
export function ago(ms) {
  if (ms < 5 * SECOND_MS) return "now";
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)}s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)}m`;
  if (ms < DAY_MS) return `${Math.floor(ms / HOUR_MS)}h`;
  return `${Math.floor(ms / DAY_MS)}d`;
}

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** @param {number} ms */
export function exact(ms) {
  return EXACT.format(ms);
}

/** @param {number} ms */
export function clock(ms) {
  return CLOCK.format(ms);
}

/** @param {number} count */
export function bytes(count) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(count, 1)) / 3));
  const scaled = count / 1000 ** step;
  return `${step && scaled < 100 ? scaled.toFixed(1) : Math.round(scaled)} ${units[step]}`;
}

/** @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

/** @param {string} path with the separators of any system */
export function lastSegment(path) {
  return path.split(/[\\/]+/).filter(Boolean).pop() ?? path;
}

/** @param {string} session */
export function shortId(session) {
  return session.slice(0, 8);
}

/** The same name has the same colour every day. @param {string} name @returns {number} degrees */
export function hue(name) {
  let hash = 2166136261;
  for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 16777619);
  return (((hash >>> 8) % HUES) * 360) / HUES;
}

/** @param {string} text @returns {{ head: string, moreLines: number, cut: boolean }} */
export function firstLines(text) {
  const lines = text.trimEnd().split("\n");
  const head = lines.slice(0, ROW_LINES).join("\n");
  const moreLines = Math.max(0, lines.length - ROW_LINES);
  return { head: clip(head, ROW_CHARS), moreLines, cut: moreLines > 0 || head.length > ROW_CHARS };
}

/** Never cuts an emoji in two. @param {string} text @param {number} chars */
export function clip(text, chars) {
  if (text.length <= chars) return text;
  const end = /[\uD800-\uDBFF]/.test(text[chars - 1]) ? chars - 1 : chars;
  return text.slice(0, end) + "…";
}

/** @typedef {{ kind: "text" | "chip" | "code" | "odd" | "secret", text: string, name?: string }} Piece */

/** Placeholders that Claude Code leaves in a prompt, `code` in backticks, characters that would act on the text around them or not show. */
const PIECES =
  /(?<chip>\[(?:Pasted text #\d+(?: \+\d+ lines)?|(?:Image|Audio) #\d+|\.{3}Truncated text #\d+ \+\d+ lines\.{3})\])|(?<code>`[^`\n]{1,200}`)|(?<odd>[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u200B\u200E\u200F\u2028-\u202E\u2060-\u206F\uFEFF]{1,40})/g;

/**
 * @param {string} text @param {(part: string) => Piece[]} [between] what becomes of what is no secret
 * @returns {Piece[]} in order
 */
export function pieces(text, between = plainPieces) {
  let rest = 0;
  /** @type {Piece[]} */
  const out = [];
  for (const { start, end, name } of secrets(text)) {
    out.push(...between(text.slice(rest, start)), { kind: "secret", text: text.slice(start, end), name });
    rest = end;
  }
  return [...out, ...between(text.slice(rest))];
}

/** For text that is shown as it is, secrets aside. @param {string} text @returns {Piece[]} */
export function verbatim(text) {
  return text ? [{ kind: "text", text }] : [];
}

/** @param {string} text @returns {Piece[]} */
function plainPieces(text) {
  let rest = 0;
  /** @type {Piece[]} */
  const out = [];
  for (const match of text.matchAll(PIECES)) {
    if (match.index > rest) out.push({ kind: "text", text: text.slice(rest, match.index) });
    out.push(special(match.groups ?? {}));
    rest = match.index + match[0].length;
  }
  if (rest < text.length) out.push({ kind: "text", text: text.slice(rest) });
  return out;
}

/** @param {Record<string, string>} groups @returns {Piece} */
function special({ chip, code, odd }) {
  if (chip) return { kind: "chip", text: chip.slice(1, -1) };
  if (code) return { kind: "code", text: code.slice(1, -1) };
  const names = Array.from(odd, (c) => c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0"));
  return { kind: "odd", text: names.slice(0, 4).join(" ") + (names.length > 4 ? "…" : "") };
}
