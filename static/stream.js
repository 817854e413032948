/**
 * One event stream for all tabs of a browser, that comes back by itself.
 * A browser opens six connections to a host at most: one tab holds the stream (a Web Lock chooses it) and passes it on.
 * The next goes on behind what the least informed tab knows. Without locks (plain HTTP) each tab has its own.
 * Invariant: tells what it hears in order; what was told before is the listener's to know.
 */

const TYPES = ["history.append", "file.changed", "server.notice", "server.error", "ping"];
const NAME = "claude-live";

/** Three missed pings. */
const SILENCE_MS = 45_000;
/** A holder that gives no answer for so long is frozen. */
const ANSWER_MS = 3_000;
const LOOK_EVERY_MS = 5_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 5_000;
const HIDDEN_RETRY_MS = 30_000;
/** Then it is called offline. */
const PATIENCE_MS = 10_000;

export class Stream {
	#channel = navigator.locks && new BroadcastChannel(NAME);
	/** @type {Line | undefined} in the tab that holds the stream */
	#line;
	/** Endless before the start: nothing is taken over. */
	#heard = Infinity;
	#isLive = false;

	/** @param {Listener} listener */
	constructor(listener) {
		this.listener = listener;
		if (this.#channel) this.#channel.onmessage = ({ data }) => this.#told(data);
	}

	/** Once the listener has an id to go on from. */
	start() {
		this.#heard = 0;
		if (!this.#channel) return this.#lead();
		this.#queue({});
		this.#ask();
		setInterval(() => this.#look(), LOOK_EVERY_MS);
	}

	hurry() {
		this.#line?.hurry();
		this.#ask();
	}

	/** A hidden holder's timers are slow: who is looked at makes it try again. */
	#look() {
		const isWanted = !this.#isLive && !document.hidden;
		if (isWanted || Date.now() - this.#heard > SILENCE_MS) this.#ask();
	}

	#queue(options) {
		navigator.locks.request(NAME, options, () => new Promise(() => this.#lead())).catch(() => this.#robbed());
	}

	#robbed() {
		this.#line?.close();
		this.#line = undefined;
		this.#queue({});
	}

	#lead() {
		if (this.#line) return;
		const from = this.listener.lastId();
		this.#post({ from });
		this.#line = new Line(this.listener, (message) => this.#post(message));
		this.#line.open(from);
	}

	#post(message) {
		this.#channel?.postMessage(message);
	}

	#told({ events, state, from, behind, hello }) {
		const { listener } = this;
		if (!this.#heard && !this.#line) listener.reload();
		this.#heard = Math.max(this.#heard, Date.now());
		if (state) this.#isLive = state.name === "live";
		for (const { type, data } of events ?? []) listener.event(type, data);
		if (state && !this.#line) listener.state(state.name, state.brokenSince);
		if (listener.lastId() < from) this.#post({ behind: listener.lastId() });
		if (behind) this.#line?.backTo(behind);
		if (hello) this.#line?.hurry();
	}

	#ask() {
		if (this.#line) return;
		const asked = Date.now();
		this.#post({ hello: true });
		setTimeout(() => !this.#line && this.#heard < asked && this.#queue({ steal: true }), ANSWER_MS);
	}
}

/** An EventSource by itself gives up on any answer but 200 and does not notice a dead line. */
class Line {
	/** @type {EventSource | undefined} */
	#source;
	#from = 0;
	#heard = 0;
	#retryMs = FIRST_RETRY_MS;
	#retry = 0;
	/** 0 while there is an answer. */
	#brokenSince = 0;
	/** @type {State} */
	#state = "connecting";
	/** A burst is one message; by no timer, as those of hidden tabs are slow. */
	#heap = /** @type {object[]} */ ([]);
	#soon = new MessageChannel();
	#look = setInterval(() => this.#check(), LOOK_EVERY_MS);

	/** @param {Listener} listener */
	constructor(listener, post) {
		this.listener = listener;
		this.post = post;
		this.#soon.port1.onmessage = () => post({ events: this.#heap.splice(0) });
	}

	open(from = this.listener.lastId()) {
		this.#stop();
		this.#from = from;
		this.#heard = Date.now();
		const source = (this.#source = new EventSource(`/api/claude/stream?since=${from}`));
		source.onopen = () => this.#opened();
		source.onerror = () => this.#failed();
		for (const type of TYPES) source.addEventListener(type, ({ data }) => this.#hear(type, data));
	}

	backTo(id) {
		if (id < this.#from) this.open(id);
	}

	hurry() {
		this.#check();
		this.#tell(this.#state);
		this.#retryMs = FIRST_RETRY_MS;
		if (!this.#source) this.open();
	}

	close() {
		this.#stop();
		clearInterval(this.#look);
	}

	#stop() {
		clearTimeout(this.#retry);
		this.#source?.close();
		this.#source = undefined;
	}

	#opened() {
		this.#heard = Date.now();
		this.#brokenSince = 0;
		this.#retryMs = FIRST_RETRY_MS;
		this.#tell("live");
	}

	#hear(type, data) {
		this.#heard = Date.now();
		if (this.#heap.push({ type, data }) === 1) this.#soon.port2.postMessage(0);
		this.listener.event(type, data);
	}

	async #failed() {
		this.#stop();
		this.#brokenSince ||= Date.now();
		this.#retry = setTimeout(() => this.open(), this.#retryMs);
		this.#retryMs = Math.min(2 * this.#retryMs, document.hidden ? HIDDEN_RETRY_MS : LAST_RETRY_MS);
		if (this.#state !== "locked") this.#tellBroken();
		const answer = await fetch("/healthz").catch(() => null);
		if (this.#brokenSince) answer?.status === 401 ? this.#tell("locked") : this.#tellBroken();
	}

	#tellBroken() {
		this.#tell(Date.now() - this.#brokenSince < PATIENCE_MS ? "reconnecting" : "offline");
	}

	/** @param {State} name */
	#tell(name) {
		this.#state = name;
		this.post({ state: { name, brokenSince: this.#brokenSince } });
		this.listener.state(name, this.#brokenSince);
	}

	#check() {
		if (this.#source && Date.now() - this.#heard > SILENCE_MS) this.#failed();
		else if (this.#brokenSince && this.#state !== "locked") this.#tellBroken();
	}
}
