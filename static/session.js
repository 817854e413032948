/**
 * A session in words: how long it waits, its work, its figures.
 * Invariant: pure; times are passed in. Texts have their secrets masked and are safe in any place.
 */
import { brief, number, plural, usd } from "./format.js";
/** @import { Session } from "./types.js" */

/** In the order in which they need a person. */
export const STATUSES = ["waiting", "working", "idle", "ended"];

/** As long as the server's texts are. */
const TEXT_CHARS = 300;
const NAME_CHARS = 80;
/** An error this close to the last record ended the turn. */
const FAILED_MS = 2_000;
/** Tools that start a subagent. */
export const AGENT_TOOLS = ["Agent", "Task"];
/** The registry's word for a call that waits to be allowed. */
const PERMISSION = "permission prompt";
/** What an agent may do unasked, by permission mode; in the default mode it asks. */
const MODES = new Map([
	["default", ""],
	["plan", "plan mode"],
	["acceptEdits", "accepts edits"],
	["dontAsk", "does not ask"],
	["bypassPermissions", "bypasses permissions"],
]);

/** @type {[string, number][]} */
const SIZES = [
	["B", 1e9],
	["M", 1e6],
	["K", 1e3],
];

export const text = (value) => brief(value, TEXT_CHARS);
export const msOf = (time) => Date.parse(time) || undefined;

/** Returns a length of time: `42 s`, `3 m 12 s`, `14 m`, `2 h 5 m`, `3 d`. */
export function span(ms) {
	const seconds = Math.max(0, Math.floor(ms / 1000));
	const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
	if (seconds < 60) return `${seconds} s`;
	if (minutes < 10) return `${minutes} m ${seconds % 60} s`;
	if (hours < 1) return `${minutes} m`;
	if (hours < 24) return `${hours} h ${minutes % 60} m`;
	return `${Math.floor(hours / 24)} d`;
}

/** Returns how long something took, with tenths of the first ten seconds. */
export const took = (ms) => (ms < 9_950 ? `${(ms / 1000).toFixed(1)} s` : span(ms));

/** Returns a large count: `61 K`, `2.4 M`, `1.2 B`. */
export function short(count) {
	const [unit, size] = SIZES.find(([, size]) => count >= 0.9995 * size) ?? [];
	if (!size) return String(count);
	const scaled = count / size;
	return `${scaled < 9.95 ? scaled.toFixed(1) : Math.round(scaled)} ${unit}`;
}

/** Returns `haiku 4.5` for `claude-haiku-4-5-20251001`. */
export function modelName(model) {
	const name = model.replace(/^claude-/, "").replace(/-\d{8}$/, "");
	return brief(name.replace(/(\d)-(?=\d)/g, "$1.").replaceAll("-", " "));
}

/** Returns the words of a permission mode; none for the default one. */
export const modeWords = (mode = "default") => MODES.get(mode) ?? brief(mode);

/**
 * Returns the key of a session: two machines can have one id.
 * @param {{ machine?: string, sessionId: string }} session
 */
export const keyOf = ({ machine, sessionId }) => (machine ? `${machine}/${sessionId}` : sessionId);

/** @param {Session} session */
export const titleOf = ({ title, prompt, sessionId }) =>
	text(title?.trim() || prompt?.trim() || `Session ${sessionId.slice(0, 8)}`);

/** Whether the last turn ended with an error. @param {Session} session */
export function hasFailed({ status, errors, lastAt = "" }) {
	if (status !== "idle" || !errors?.at) return false;
	return Date.parse(lastAt) - Date.parse(errors.at) < FAILED_MS;
}

/** Returns the words before and after the time since when the status is what it is. */
export function statusWords(session) {
	const { status, statusFrom, turns, endedMidTurn } = session;
	if (statusFrom === "machine") return ["silent", ""];
	if (endedMidTurn) return ["ended mid-turn", " ago"];
	if (hasFailed(session)) return ["failed", " ago"];
	if (status === "idle" && !turns) return ["idle", ""];
	return { waiting: ["waits", ""], working: ["works", ""], idle: ["done", " ago"] }[status] ?? [
		"ended",
		" ago",
	];
}

/**
 * The present activity of a session.
 * @typedef {{ label?: string, code?: string, text?: string, since?: string }} Doing
 */

/** @param {Session} session @returns {Doing | undefined} */
export function doing(session) {
	const { status, tools = [], lastAt } = session;
	if (status === "waiting") return asking(session);
	if (status !== "working") return session.shell ? { text: "in the shell" } : undefined;
	const own = tools.filter(({ agentId, name }) => !agentId && !AGENT_TOOLS.includes(name));
	const tool = own.at(-1);
	if (tool) {
		const more = own.length > 1 ? `and ${number(own.length - 1)} more` : "";
		return { label: brief(tool.name), code: text(tool.input), text: more, since: tool.since };
	}
	const running = runningAgents(session);
	if (running) return { text: `${plural(running, "subagent")} at work` };
	return { text: "thinking", since: lastAt };
}

/** @param {Session} session */
function asking({ question, waitingFor, tools = [] }) {
	const plan = tools.find(({ name }) => name === "ExitPlanMode");
	if (question) return { label: plan ? "Plan:" : "Asks:", text: text(question) };
	const label = capital(text(waitingFor ?? "waits for you"));
	const calls = tools.filter(({ name }) => !AGENT_TOOLS.includes(name));
	const first = calls.find(({ agentId }) => !agentId) ?? calls[0];
	if (!first || waitingFor !== PERMISSION) return { label };
	const name = brief(first.name);
	// It is not recorded which of them is meant.
	const words = calls.length > 1 ? `one of ${number(calls.length)} calls, first ${name}` : name;
	return { label: `${label}:`, text: words, code: text(first.input) };
}

const capital = (words) => words.slice(0, 1).toUpperCase() + words.slice(1);

/** @param {Session} session */
export const runningAgents = ({ agents = [] }) =>
	agents.filter(({ status }) => status === "running").length;

/**
 * Whether a call that has no result runs no more, by the state of its session or subagent.
 * @param {Session} session
 * @param {{ ms?: number, agentId: string | null }} call
 */
export function isAtRest({ status, since, agents = [] }, { ms, agentId }) {
	if (status === "ended") return true;
	// Subagents go on in the background while their session is idle.
	if (agentId) return agents.some((it) => it.agentId === agentId && it.status !== "running");
	return status === "idle" && Number(msOf(since)) >= Number(ms);
}

/** Returns the words of a subagent's line. */
export function agentWords({ type, description, tool }) {
	const name = [type, description].filter(Boolean).map((part) => brief(part, NAME_CHARS));
	return { name: name.join(" · ") || "subagent", tool: tool && brief(tool, NAME_CHARS) };
}

/** Returns the part of the context window that is used, from 0 to 1, where it is known. */
export const contextPart = ({ context }) =>
	context?.window ? Math.min(1, context.tokens / context.window) : undefined;

/** Returns figures of a session as words; a card has room for the important ones. */
export function figures(session) {
	const { turns, denied, compactions, queued, tokens, costUsd, reportedCostUsd } = session;
	const cache = tokens && tokens.cacheRead + tokens.cacheWrite;
	return {
		queued: queued > 0 && `${number(queued)} queued`,
		denied: denied > 0 && `${number(denied)} denied`,
		cost: costUsd > 0 && usd(costUsd),
		reported: reportedCostUsd > 0 && `${usd(reportedCostUsd)} by Claude Code`,
		output: tokens && `${short(tokens.output)} out`,
		turns: turns > 0 && plural(turns, "turn"),
		compactions: compactions > 0 && plural(compactions, "compaction"),
		tokens: tokens && `in ${short(tokens.input)} · out ${short(tokens.output)}`,
		cache: cache > 0 && `cache ${short(cache)}`,
	};
}

/** Returns the words before and after the time of the last error. */
export function errorWords({ count, last }) {
	return [plural(count, "API error"), last ? `: ${text(last)}` : ""];
}
