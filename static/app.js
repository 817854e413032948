/**
 * The frame of the page: connection, navigation and whatever the views share.
 * Invariant: one event stream and one connection state serve all views.
 */
import { Alerts } from "./alerts.js";
import { batch } from "./batch.js";
import { Colors } from "./colors.js";
import { el, parts, setAttr, setText } from "./dom.js";
import { fromHash, toHash, viewOf } from "./filter.js";
import { bytes, cannotRead, clock, number, plural } from "./format.js";
import { noticeKind } from "./items.js";
import { liveView } from "./live.js";
import { sessionsView } from "./sessions.js";
import { SERVER_TYPES, Stream } from "./stream.js";
import { usageView } from "./usage.js";
/** @import * as Types from "./types.js" */

/** By the `data-view` of their buttons; the first one is shown at first. */
const VIEWS = { live: liveView, sessions: sessionsView, usage: usageView };

const TITLE = document.title;
const RETRY_MS = 2_000;
const TICK_MS = 1_000;
/** A request that takes longer is given up; its caller makes another. */
const ANSWER_MS = 15_000;

/** Returns an object that forgets where storage is disabled. @returns {Record<string, any>} */
function openStorage() {
	try {
		return localStorage;
	} catch {
		return {};
	}
}

/** @implements {Types.Frame} @implements {Types.Listener} */
class App {
	/** @type {Types.Health} */
	health = {};
	storage = openStorage();
	colors = new Colors(this.storage);
	askHealth = batch(() => this.#readHealth());
	#at = parts("app-");
	/** @type {Types.ConnectionState} */
	#state = "connecting";
	/** @type {number | undefined} */
	#brokenSinceMs;
	/** @type {Types.Outage | undefined} */
	#outage;
	/** @type {number | undefined} Time of the last resync. */
	#gapMs;
	/** Prompts since the page was hidden. */
	#unseen = 0;
	/** The part of the filter that all views have. */
	shared = shared(fromHash(location.hash));
	/** The view was named in the address or chosen by a click. */
	#isChosen = location.hash !== "";
	/** Resolved once it is known which view is the first. */
	#first = Promise.withResolvers();
	#alerts = new Alerts(
		this.storage,
		this.#at,
		() => this.isSessionKnown,
		(id) => this.session(id),
	);
	#views = Object.fromEntries(Object.entries(VIEWS).map(([name, view]) => [name, view(this)]));
	/** @type {Types.View[]} */
	#allViews = Object.values(this.#views);
	/** The one that is shown. */
	#view = this.#views[viewOf(location.hash)] ?? this.#allViews[0];
	#stream = new Stream(this, [...new Set(this.#allViews.flatMap(({ types }) => types))]);
	#keys = { "?": "help" };
	#actions = {
		help: () => (this.#at.keys.open ? this.#at.keys.close() : this.#at.keys.showModal()),
		notify: () => this.#alerts.switch(),
	};
	#windowEvents = {
		click: ({ target }) => this.#onClick(target),
		keydown: (event) => this.#onKey(event),
		visibilitychange: () => this.#onVisibilityChange(),
		pagehide: () => this.#view.onHide(),
		online: () => this.#stream.reconnectNow(),
		focus: () => this.#state !== "live" && this.#stream.reconnectNow(),
		hashchange: () => this.#onHashChange(),
	};

	run() {
		for (const event of Object.entries(this.#windowEvents)) addEventListener(...event);
		setInterval(() => this.#onTick(), TICK_MS);
		if (this.#views[viewOf(location.hash)]) this.#show(viewOf(location.hash));
		this.#start();
	}

	async #start() {
		try {
			const positions = await Promise.all(Object.keys(this.#views).map(this.#load, this));
			this.#stream.start(Math.min(...positions.filter((id) => id !== undefined)));
		} catch {
			this.onState("reconnecting");
			setTimeout(() => this.#start(), RETRY_MS);
		}
	}

	/** Loads a view, and draws it if it is the first; drawing the others would only delay that. */
	async #load(name) {
		const view = this.#views[name];
		const position = await view.start();
		if (!this.#isChosen && view.isWanted?.()) this.#view = view;
		if (this.#isChosen ? view === this.#view : view.isWanted) this.#first.resolve(undefined);
		await this.#first.promise;
		if (view === this.#view) await this.#show(name);
		else this.drawStatus();
		return position;
	}

	async get(path) {
		return JSON.parse(await this.getText(path));
	}

	async getText(path) {
		const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS) });
		const { ok, status } = answer;
		if (!ok) throw Object.assign(new Error(`${path}: status ${status}`), { status });
		return answer.text();
	}

	/** @param {Types.LiveEvent} event */
	onEvent(event) {
		if (noticeKind(event) === "stream.resync") this.#gapMs = Date.now();
		else if (document.hidden && event.type === "history.append") this.#unseen += 1;
		this.#countMissed(event);
		const isServers = SERVER_TYPES.includes(event.type);
		for (const view of this.#allViews) {
			if (isServers || view.types.includes(event.type)) view.onEvent(event);
		}
	}

	onPing() {
		this.askHealth();
	}

	/** @param {Types.ConnectionState} state @param {number} [brokenSinceMs] */
	onState(state, brokenSinceMs) {
		if (state === "live") {
			if (this.#outage) this.#outage.endedMs ??= Date.now();
			this.askHealth();
		} else if (this.#state === "live") {
			this.#outage = { missed: 0 };
			this.#gapMs = undefined;
		}
		this.#state = state;
		this.#brokenSinceMs = brokenSinceMs;
		this.#draw();
	}

	async #readHealth() {
		const health = await this.get("/healthz").catch(() => undefined);
		if (!health) return;
		this.health = health;
		if (this.#outage?.endedMs) this.#outage.untilId ??= health.lastEventId;
		this.#view.onHealth();
		this.#draw();
	}

	/** Events up to that of the first health after an outage came late. */
	#countMissed({ id }) {
		const outage = this.#outage;
		if (outage && id <= (outage.untilId ?? Infinity)) outage.missed += 1;
	}

	#onVisibilityChange() {
		if (document.hidden) return this.#view.onHide();
		this.#unseen = 0;
		this.#view.onReturn();
		this.#stream.reconnectNow();
	}

	#onTick() {
		this.#alerts.onTick(Date.now());
		if (document.hidden) return;
		this.#view.onTick(Date.now());
		this.drawStatus();
	}

	#onClick(target) {
		const { view, do: action } = target.closest("button")?.dataset ?? {};
		if (view) this.#choose(view);
		else if (action) this.#act(action, target.closest("button"));
	}

	/** @param {any} [button]  the one that was clicked */
	#act(name, button) {
		return { ...this.#actions, ...this.#view.actions }[name](button);
	}

	#onKey(event) {
		const { key, target } = event;
		const isModified = event.ctrlKey || event.metaKey || event.altKey || event.isComposing;
		const keys = this.#view.fieldKeys[target.tagName] ?? { ...this.#keys, ...this.#view.keys };
		if (isModified || this.#at.keys.open || !Object.hasOwn(keys, key)) return;
		event.preventDefault();
		this.#act(keys[key]);
	}

	#onHashChange() {
		const name = viewOf(location.hash) || "live";
		if (!this.#views[name]) return;
		this.#isChosen = true;
		this.#first.resolve(undefined);
		this.shared = shared(fromHash(location.hash));
		if (this.#view === this.#views[name]) this.#view.onHashChange();
		else this.#show(name, () => this.#view.onHashChange());
	}

	#choose(name) {
		if (this.#views[name] !== this.#view) this.step();
		this.#isChosen = true;
		this.#first.resolve(undefined);
		this.#show(name);
	}

	isShown(view) {
		return view === this.#view && !document.hidden;
	}

	step() {
		history.pushState(null, "", location.href);
	}

	address(filter) {
		this.shared = shared(filter);
		const [name] = Object.entries(this.#views).find(([, view]) => view === this.#view) ?? [];
		// The address of the Live view is its filter, as it was when there was no other view.
		const isNamed = name !== "live" || (this.#isChosen && !toHash(filter));
		history.replaceState(null, "", toHash(filter, isNamed ? name : "") || location.pathname);
	}

	#show(name, then = () => {}) {
		const view = this.#views[name];
		if (this.#view !== view) this.#view.onHide();
		this.#view = view;
		then();
		for (const main of document.querySelectorAll("main")) {
			main.hidden = main.id !== `${name}-view`;
		}
		for (const button of document.querySelectorAll("nav button")) {
			setAttr(button, "aria-current", button.matches(`[data-view=${name}]`) && "page");
		}
		return view.onReturn();
	}

	notify(title, body) {
		this.#alerts.onPrompt(title, body);
	}

	get wantsNotifications() {
		return this.#alerts.isOn;
	}

	session(id) {
		return this.#views.sessions.session?.(id);
	}

	get isSessionKnown() {
		return this.#waiting() !== undefined;
	}

	statusOf(session) {
		return this.session(session)?.status;
	}

	onSession(before, after) {
		this.#alerts.onSession(before, after);
	}

	#draw() {
		const [, label, advice = ""] = this.#describeState();
		for (const badge of document.querySelectorAll(".badge")) {
			setAttr(badge, "data-state", this.#state);
			setText(badge, label);
		}
		setText(this.#at.banner, advice);
		this.#at.banner.hidden = !advice;
		this.drawStatus();
	}

	/** @returns {string[]} icon, label, and advice if there is any */
	#describeState() {
		const errors = (this.health.errors ?? []).map(cannotRead).join("\n");
		const offline = `No answer from ${location.host}. Start claude-live there again.`;
		const since = this.#brokenSinceMs === undefined ? "" : clock(this.#brokenSinceMs);
		const states = {
			live: [errors && "-off", "live", errors],
			offline: ["-off", `offline since ${since}`, offline],
			locked: ["-off", "token required", "Open this address once with /?token=…"],
		};
		return states[this.#state] ?? ["-wait", `${this.#state}…`];
	}

	drawStatus() {
		const waiting = this.#waiting();
		const icon = this.#describeState()[0] || (waiting ? "-asks" : "");
		setAttr(this.#at.icon, "href", `/static/favicon${icon}.svg`);
		setText(this.#at.waiting, number(waiting ?? 0));
		this.#at.waiting.hidden = !waiting;
		const count = waiting ?? this.#unseen;
		document.title = count ? `(${number(count)}) ${TITLE}` : TITLE;
		const words = [...this.#view.status(Date.now()), ...this.#statusWords()].filter(Boolean);
		const { status } = this.#at;
		if (status.childElementCount !== words.length) {
			status.replaceChildren(...words.map(() => el("span")));
		}
		words.forEach((text, at) => setText(status.children[at], text));
	}

	/** Returns how many sessions wait, if any is known. */
	#waiting() {
		return this.#allViews.map((view) => view.waiting?.()).find((count) => count !== undefined);
	}

	#statusWords() {
		const { history, counters, fleet } = this.health;
		const machines = fleet?.machines?.length;
		return [
			machines ? plural(machines, "machine") : history && fileStatus(history),
			counters?.parseErrors && `${number(counters.parseErrors)} malformed`,
			counters?.oversizedLines && `${number(counters.oversizedLines)} too long`,
			this.#continuity(),
		];
	}

	/** Returns how the page caught up after an outage or a gap, if there was one. */
	#continuity() {
		if (this.#gapMs !== undefined) return `gap reloaded ${clock(this.#gapMs)}`;
		const { endedMs, untilId, missed } = this.#outage ?? {};
		return untilId && `reconnected ${clock(endedMs)}: ${number(missed)} replayed`;
	}
}

const shared = ({ q, machine, project, status }) => ({ q, machine, project, status });

function fileStatus({ path, exists, readBytes, sizeBytes }) {
	if (!exists) return `${path} does not exist yet`;
	return `${path} ${bytes(readBytes)} of ${bytes(sizeBytes)} read`;
}

new App().run();
