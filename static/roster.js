/**
 * The roster: the sessions that the page knows, in the order in which they need a person.
 * A session keeps its place while the order is held, whatever happens to it.
 * Invariant: no node, no clock, no network.
 */
import { lowercase, matcher } from "./filter.js";
import { STATUSES, keyOf, msOf } from "./session.js";
/** @import { LiveEvent, Machine, Reading, Session } from "./types.js" */

/** As the server's list. */
const RECENT_MS = 86_400_000;

export class Roster {
	/** @type {Map<string, Session>} */
	#sessions = new Map();
	/** The status and the order of each session when it was put in its place. */
	#places = /** @type {Map<string, any>} */ (new Map());
	#loadedId = 0;
	/** The newest event of each session. @type {Map<string, LiveEvent>} */
	#events = new Map();
	/** Of a fleet. @type {Machine[]} */
	machines = [];
	/** @type {Reading} */
	reading = "unknown";

	get all() {
		return [...this.#sessions.values()];
	}

	get(id) {
		return this.#sessions.get(id);
	}

	count(status) {
		return this.all.filter((session) => session.status === status).length;
	}

	/** Takes the server's list, which replaces what is known but for later events. */
	load({ lastEventId, reading, sessions, machines = [] }, now) {
		const events = [...this.#events.values()].sort((a, b) => a.id - b.id);
		this.#sessions = new Map(sessions.map((session) => [keyOf(session), session]));
		this.machines = machines;
		this.#events.clear();
		this.#loadedId = lastEventId;
		this.reading = reading ?? "off";
		for (const event of events) this.accept(event, now);
	}

	/**
	 * Takes an event. Returns the session before and after it, unless it changes nothing here.
	 * @param {LiveEvent} event
	 */
	accept(event, now) {
		const { id, type, data } = event;
		const key = keyOf(data);
		if (id <= this.#loadedId) return undefined;
		this.#events.set(key, event);
		const before = this.#sessions.get(key);
		if (type === "session.removed") this.#sessions.delete(key);
		else if (before || isRecent(data, now)) this.#sessions.set(key, data);
		const after = this.#sessions.get(key);
		return before || after ? { before, after } : undefined;
	}

	/** If the server's clock was set back, new ids are below those that are known. */
	renumber(id) {
		this.#loadedId = Math.min(this.#loadedId, id);
		this.#events.clear();
	}

	/**
	 * Returns the sessions that pass the filter, by status. While held, each stays in its place.
	 * @returns {{ status: string, sessions: Session[] }[]}
	 */
	groups(filter, isHeld) {
		const { open, ...wanted } = filter;
		const isWanted = matcher(wanted, haystack);
		const shown = this.all.filter((session) => keyOf(session) === open || isWanted(session));
		const old = isHeld ? this.#places : new Map();
		this.#places = new Map();
		for (const session of this.all) {
			const key = keyOf(session);
			this.#places.set(key, old.get(key) ?? placeOf(session));
		}
		shown.sort((a, b) => this.#compare(a, b));
		return STATUSES.map((status) => ({
			status,
			sessions: shown.filter((it) => this.#places.get(keyOf(it)).status === status),
		}));
	}

	#compare(a, b) {
		const [at, other] = [a, b].map((session) => this.#places.get(keyOf(session)));
		return at.order - other.order || (keyOf(a) < keyOf(b) ? -1 : 1);
	}

	/** Returns the sessions that wait and are not in their place yet, because the order is held. */
	get misplaced() {
		const isMisplaced = (session) =>
			session.status === "waiting" && this.#places.get(keyOf(session))?.status !== "waiting";
		return this.all.filter(isMisplaced);
	}
}

function isRecent({ isLive, lastAt }, now) {
	return isLive || now - (msOf(lastAt) ?? 0) < RECENT_MS;
}

/**
 * The one that waits longest is first; of the others, the one that changed last.
 * @param {Session} session
 */
function placeOf({ status, since, lastAt }) {
	const ms = msOf(since) ?? msOf(lastAt) ?? 0;
	return { status, order: status === "waiting" ? ms : -ms };
}

const haystacks = new WeakMap();

function haystack(session) {
	const known = haystacks.get(session);
	if (known !== undefined) return known;
	const { title, project, gitBranch, prompt, text, question, sessionId, model } = session;
	const { tools = [], agents = [], todos, waitingFor, machine } = session;
	const place = [project, gitBranch, machine, sessionId];
	const parts = [title, ...place, prompt, text, question, model, waitingFor];
	const tool = ({ name, input }) => `${name} ${input}`;
	const agent = (it) => [it.type, it.description, it.tool].join(" ");
	const all = [...parts, todos?.active, ...tools.map(tool), ...agents.map(agent)];
	const found = lowercase(all.filter(Boolean).join("\n"));
	haystacks.set(session, found);
	return found;
}
