/**
 * Sessions as cards below headings.
 * A card's nodes are kept while its session is shown, so that the focus stays where it is.
 * Invariant: knows sessions and nodes, not the state of the page.
 */
import { el, flat, place, setAttr, setStyle, setText } from "./dom.js";
import { brief, number, plural } from "./format.js";
import {
	agentWords,
	contextPart,
	doing,
	errorWords,
	figures,
	hasFailed,
	keyOf,
	modeWords,
	modelName,
	msOf,
	runningAgents,
	short,
	span,
	statusWords,
	text,
	titleOf,
} from "./session.js";
/** @import { Session } from "./types.js" */

/** From these parts on, a context window is nearly full, and full. */
const NEARLY_FULL = 0.75;
const FULL = 0.9;
/** Subagents that a card lists; running ones are first. */
const AGENTS = 6;
const AGENT_SIGNS = { running: "◐", done: "✓", failed: "×", stopped: "–" };

/** Returns the time since then, which `tick` keeps up to date. */
export function since(time, now, before = "", after = "") {
	const ms = typeof time === "number" ? time : msOf(time);
	if (ms === undefined) return before.trim();
	const words = { "data-since": ms, "data-before": before, "data-after": after };
	const node = el("time", words);
	tickOne(node, now);
	return node;
}

function tickOne(node, now) {
	const { since, before, after } = node.dataset;
	setText(node, `${before}${span(now - Number(since))}${after}`);
}

export function tick(root, now) {
	for (const node of root.querySelectorAll("[data-since]")) tickOne(node, now);
}

export class Cards {
	/** @type {Map<string, any>} Nodes by session. */
	#cards = new Map();
	/** @type {Map<string, any>} By status. */
	#headings = new Map();
	/** Cards that still fit, while they are drawn. */
	#room = 0;
	#colorChanges = 0;
	#isRecolored = false;

	constructor(list, colors) {
		this.list = list;
		this.colors = colors;
	}

	/**
	 * @param {{ status: string, sessions: Session[] }[]} groups
	 * @param {{ names: Map<string, string>, open: string, showsEnded: boolean }} context
	 * @param {number} most  cards
	 */
	show(groups, now, context, most) {
		this.#room = most;
		this.#isRecolored = this.#colorChanges !== this.colors.changes;
		this.#colorChanges = this.colors.changes;
		const wanted = groups.flatMap((group) => this.#group(group, now, context));
		const kept = new Set(wanted);
		for (const [id, card] of this.#cards) if (!kept.has(card.node)) this.#cards.delete(id);
		placeAround(this.list, wanted);
	}

	#group({ status, sessions }, now, context) {
		if (!sessions.length) return [];
		const isFolded = status === "ended" && !context.showsEnded;
		const cards = sessions.filter((session) => !isFolded || keyOf(session) === context.open);
		const heading = this.#heading(status, sessions, now, isFolded);
		const shown = cards.slice(0, this.#room);
		this.#room -= shown.length;
		return [heading, ...shown.map((session) => this.#card(session, now, context))];
	}

	#heading(status, sessions, now, isFolded) {
		const heading = this.#headings.get(status) ?? newHeading(status);
		this.#headings.set(status, heading);
		// While the order is held, sessions of another status are among them.
		const own = sessions.filter((session) => session.status === status);
		const [label, extra] = heading.children;
		setText(label.firstElementChild ?? label, headingWords(status, own.length));
		const longest = longestWait(status, own);
		setAttr(extra, "data-since", longest ?? false);
		if (longest) tickOne(extra, now);
		else setText(extra, extraWords(status, own));
		setAttr(label.firstElementChild ?? label, "aria-expanded", isFoldable(status) && !isFolded);
		return heading;
	}

	#card(session, now, { names, open }) {
		const { status } = session;
		const key = keyOf(session);
		const card = this.#cards.get(key) ?? newCard(key);
		this.#cards.set(key, card);
		setAttr(card.node, "data-status", status);
		setAttr(card.node, "data-failed", hasFailed(session) || session.endedMidTurn === true);
		setAttr(card.title, "aria-expanded", String(key === open));
		const project = names.get(session.project);
		if (card.session !== session || card.project !== project) {
			Object.assign(card, { session, project });
			setText(card.title, titleOf(session));
			card.state.replaceChildren(...flat([stateOf(session, now)]));
			card.body.replaceChildren(...flat(bodyOf(session, now, project)));
		} else if (!this.#isRecolored) return card.node;
		for (const part of card.body.querySelectorAll("[data-of]")) {
			setStyle(part, this.colors.of(session[part.dataset.of]));
		}
		return card.node;
	}

	node(id) {
		return this.#cards.get(id)?.node;
	}

	/** Returns the session whose card holds a node; by default, the focus. */
	idOf(/** @type {any} */ node = document.activeElement) {
		return node?.closest("[data-session-id]")?.dataset.sessionId;
	}

	focus(id) {
		const card = this.#cards.get(id);
		card?.title.focus({ preventScroll: true });
		card?.node.scrollIntoView({ block: "nearest" });
	}

	/** Moves the focus to the next card, or to the one before. */
	move(by) {
		const cards = [...this.list.querySelectorAll("[data-session-id]")];
		const at = cards.findIndex((card) => card.contains(document.activeElement));
		const next = cards[Math.max(0, Math.min(cards.length - 1, at < 0 ? 0 : at + by))];
		if (next) this.focus(next.dataset.sessionId);
	}
}

/** Puts nodes in order. The node with the focus is not moved: it would lose it. */
function placeAround(list, wanted) {
	const at = wanted.findIndex((node) => node.contains(document.activeElement));
	const order = [...list.children].filter((node) => wanted.includes(node));
	const isMoved = wanted.some((node, index) => node !== order[index]);
	if (at >= 0 && isMoved) for (const node of wanted.slice(0, at)) wanted[at].before(node);
	place(list, wanted);
}

const isFoldable = (status) => status === "ended";

function newHeading(status) {
	const fold = isFoldable(status) && el("button", { class: "link", "data-do": "ended" });
	return el("div", { class: "group", "data-status": status }, [
		el("h2", {}, fold),
		el("span", { "data-before": "longest ", "data-after": "" }),
	]);
}

const headingWords = (status, count) =>
	`${number(count)} ${HEADINGS[status] ?? (count === 1 ? "waits for you" : "wait for you")}`;

const HEADINGS = {
	working: "at work",
	idle: "finished, your turn",
	ended: "ended in the last 24 hours",
};

/** Returns since when the session waits that waits longest, if several do. */
function longestWait(status, sessions) {
	if (status !== "waiting" || sessions.length < 2) return undefined;
	const times = sessions.map(({ since }) => msOf(since)).filter(Boolean);
	return times.length ? Math.min(...times) : undefined;
}

function extraWords(status, sessions) {
	const agents = sessions.reduce((sum, session) => sum + runningAgents(session), 0);
	if (status === "working") return agents ? plural(agents, "subagent") : "";
	const midTurn = sessions.filter(({ endedMidTurn }) => endedMidTurn).length;
	return midTurn ? `${number(midTurn)} mid-turn` : "";
}

function newCard(key) {
	const title = el("button", { class: "title", "data-do": "open" });
	const state = el("p", { class: "state" });
	const body = el("div", { class: "body" });
	const dot = el("span", { class: "dot", "aria-hidden": true });
	const heading = el("h3", {}, title);
	const parts = [dot, heading, state, body];
	const node = el("article", { class: "card", "data-session-id": key }, parts);
	return { node, title, state, body };
}

function stateOf(session, now) {
	const [before, after] = statusWords(session);
	return since(session.since, now, `${before} `, after);
}

function bodyOf(session, now, project) {
	const { machine } = session;
	const where = [
		machine && el("b", { "data-of": "machine" }, brief(machine)),
		project && el("b", { "data-of": "project" }, brief(project)),
		session.gitBranch && brief(session.gitBranch),
		session.model && modelName(session.model),
		session.status !== "ended" && modeWords(session.permissionMode),
	];
	const separated = flat(where).flatMap((part, at) => (at ? [" · ", part] : [part]));
	if (session.status === "ended") return [el("p", { class: "where" }, separated)];
	const last = session.text ?? (session.title && session.prompt);
	return [
		el("p", { class: "where" }, separated),
		nowLine(doing(session), now),
		last?.trim() && el("p", { class: "last", dir: "auto" }, text(last)),
		agentList(session, now),
		el("p", { class: "figures" }, cardFigures(session, now)),
	];
}

function nowLine(done, now) {
	if (!done) return undefined;
	const { label, code, text, since: time } = done;
	const parts = [
		label && el("span", { class: "label" }, label),
		text && el("span", { dir: "auto" }, text),
		code && el("code", { dir: "auto" }, code),
		time && since(time, now, "for "),
	];
	return el("p", { class: "now" }, flat(parts).flatMap((part) => [part, " "]));
}

function agentList({ agents = [] }, now) {
	const lines = agents.slice(0, AGENTS).map((agent) => {
		const { name, tool } = agentWords(agent);
		return el("li", { "data-agent": agent.status }, [
			el("span", { class: "sign", "aria-hidden": true }, AGENT_SIGNS[agent.status]),
			el("span", { class: "sr" }, `${agent.status} subagent: `),
			el("span", { class: "name", dir: "auto" }, name),
			tool && el("code", { dir: "auto" }, tool),
			agent.status === "running" && since(agent.since, now),
		]);
	});
	const more = agents.length - lines.length;
	return lines.length > 0 && el("ul", {}, lines, more > 0 && el("li", {}, `${more} more`));
}

/** Returns figures, with gauges for the todos and the context window. */
function cardFigures(session, now) {
	const { queued, denied, cost, reported, output } = figures(session);
	const { todos } = session;
	const parts = [
		todos && [
			`todos ${todos.done} of ${todos.total} `,
			gauge(todos.done / todos.total, "todos"),
			todos.active && ` ${text(todos.active)}`,
		],
		contextOf(session),
		queued,
		denied,
		cost || reported || output,
		errorOf(session, now),
	];
	return parts.filter(Boolean).map((part) => el("span", {}, part));
}

export function errorOf(session, now) {
	const { errors } = session;
	if (!errors) return undefined;
	const [count, last] = errorWords(errors);
	const ago = errors.at && since(errors.at, now, ", last ", " ago");
	return el("span", { class: "error", dir: "auto" }, count, ago, last);
}

export function contextOf(session) {
	const { tokens } = session.context ?? {};
	const part = contextPart(session);
	if (part === undefined) return tokens > 0 && `context ${short(tokens)}`;
	return ["context ", gauge(part, "context"), ` ${Math.round(part * 100)} %`];
}

function gauge(part, kind) {
	const level = part >= FULL ? "full" : part >= NEARLY_FULL ? "nearly" : "some";
	const isLevelled = kind === "context";
	const props = { class: "gauge", "data-level": isLevelled && level, "aria-hidden": true };
	return el("span", { ...props, "--part": part });
}
