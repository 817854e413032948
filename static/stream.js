/**
 * One event stream for all tabs of a browser, which opens at most six connections to a host.
 * One tab, the leader, holds the stream and posts its events to the others. A Web Lock elects it;
 * without locks (plain HTTP) each tab leads.
 * A post says after which event it comes. A tab that has not got that far makes the leader go back,
 * so that no post it misses, at its start or because a leader dies, leaves a hole.
 * Invariant: from `start` on, the listener gets each event once and in order.
 */
/** @import * as Types from "./types.js" */

/** Types that the server sends about itself. */
export const SERVER_TYPES = ["server.notice", "server.error"];
/** Of the lock and the channel. */
const NAME = "claude-live";

/** Three missed pings. */
const SILENCE_MS = 45_000;
/** A leader that takes longer to answer is taken for frozen. */
const ANSWER_MS = 3_000;
const CHECK_MS = 5_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 5_000;
const HIDDEN_RETRY_MS = 30_000;
/** A task delivers messages for this time, and leaves the others to the next. */
const TASK_MS = 20;
/** Beyond this many waiting messages the browser stops reading, and so does the server. */
const MOST_WAITING = 2_000;
/** After this time without a connection the page calls the server offline. */
const OFFLINE_MS = 10_000;

export class Stream {
	/** @type {BroadcastChannel | undefined} */
	#channel;
	/** @type {Connection | undefined} In the leader. */
	#connection;
	#leaderState = "connecting";
	#leaderHeardMs = 0;
	/** Id of the last event delivered. */
	position = 0;

	/**
	 * @param {Types.Listener} listener
	 * @param {string[]} types  of the events to request, beside the server's own
	 */
	constructor(listener, types) {
		this.listener = listener;
		this.types = [...types, ...SERVER_TYPES];
	}

	/** @param {number} position  id of the event after which to begin */
	start(position) {
		this.position = position;
		if (!navigator.locks) {
			this.#lead();
			return;
		}
		this.#channel = new BroadcastChannel(NAME);
		this.#channel.onmessage = ({ data }) => this.#onPost(data);
		this.#requestLead({});
		this.#sayHello();
		setInterval(() => this.#checkLeader(), CHECK_MS);
	}

	/** For a page that comes into view, or a network that is back. */
	reconnectNow() {
		this.#connection?.reconnectNow();
		this.#sayHello();
	}

	/** A hidden leader's timers are slow, so a visible tab makes it try again. */
	#checkLeader() {
		const isWanted = this.#leaderState !== "live" && !document.hidden;
		if (isWanted || Date.now() - this.#leaderHeardMs > SILENCE_MS) this.#sayHello();
	}

	/** Leads until the lock is stolen, by another tab or by a later request of this one. */
	async #requestLead(options) {
		/** @type {Connection | undefined} */
		let connection;
		const hold = () => new Promise(() => (connection = this.#lead()));
		await navigator.locks.request(NAME, options, hold).catch(() => connection?.close());
		// A later request of this tab can be granted before an earlier one loses the lock.
		if (!connection || this.#connection !== connection) return;
		this.#connection = undefined;
		this.#requestLead({});
	}

	#lead() {
		this.#connection?.close();
		this.#connection = new Connection(this);
		return this.#connection;
	}

	/** @param {Types.LeaderPost | Types.FollowerPost} post */
	post(post) {
		this.#channel?.postMessage(post);
	}

	/** @param {Types.LeaderPost & Types.FollowerPost} post */
	#onPost({ hello, goBackTo, ...post }) {
		if (hello) this.#connection?.reconnectNow();
		else if (goBackTo !== undefined) this.#connection?.goBackTo(goBackTo);
		else this.#onLeaderPost(post);
	}

	/** @param {Types.LeaderPost} post */
	#onLeaderPost({ after, messages = [], state, brokenSinceMs }) {
		this.#leaderHeardMs = Date.now();
		if (after > this.position) return this.post({ goBackTo: this.position });
		messages.reduce((previous, message) => this.deliver(message, previous), after);
		if (!state || this.#connection) return;
		this.#leaderState = state;
		this.listener.onState(state, brokenSinceMs);
	}

	/** Delivers a message, unless it is known. Returns the id after which the next one comes. */
	deliver({ type, data }, after) {
		if (type === "ping") {
			this.listener.onPing();
			return after;
		}
		const event = JSON.parse(data);
		// Ids go down when the server has restarted after its clock was set back.
		const isNew = event.id > this.position || event.id < after;
		if (isNew) {
			this.position = event.id;
			this.listener.onEvent(event);
		}
		return event.id;
	}

	#sayHello() {
		if (!this.#channel || this.#connection) return;
		const askedMs = Date.now();
		this.post({ hello: true });
		setTimeout(() => {
			if (this.#connection || this.#leaderHeardMs >= askedMs) return;
			this.#requestLead({ steal: true });
		}, ANSWER_MS);
	}
}

/**
 * The leader's connection. An `EventSource` by itself gives up on any answer but 200, and does not
 * notice a dead connection.
 */
class Connection {
	/** @type {EventSource | undefined} */
	#source;
	/** Id of the last event that came, or after which the stream was opened. */
	#position;
	#heardMs = 0;
	#retryMs = FIRST_RETRY_MS;
	/** @type {any} */
	#retryTimer;
	/** @type {number | undefined} */
	#brokenSinceMs;
	#state = /** @type {Types.ConnectionState} */ ("connecting");
	/** Messages that came and are not delivered yet. */
	#queue = /** @type {Types.Message[]} */ ([]);
	/** Begins the next task: timers of hidden tabs are slow. */
	#soon = new MessageChannel();
	#checkTimer = setInterval(() => this.#check(), CHECK_MS);

	/** @param {Stream} stream */
	constructor(stream) {
		this.stream = stream;
		this.#position = stream.position;
		this.#soon.port1.onmessage = () => this.#flush(TASK_MS);
		this.#open();
	}

	goBackTo(id) {
		this.#flush();
		if (id >= this.#position) return;
		this.#position = id;
		this.#open();
	}

	reconnectNow() {
		this.#check();
		this.#setState(this.#state);
		this.#retryMs = FIRST_RETRY_MS;
		if (!this.#source) this.#open();
	}

	close() {
		this.#closeSource();
		this.#brokenSinceMs = undefined;
		clearInterval(this.#checkTimer);
	}

	#open() {
		this.#closeSource();
		this.#heardMs = Date.now();
		const { types } = this.stream;
		const source = new EventSource(`/api/claude/stream?since=${this.#position}&types=${types}`);
		this.#source = source;
		source.onopen = () => this.#onOpen();
		source.onerror = () => this.#onError();
		for (const type of [...types, "ping"]) {
			source.addEventListener(type, (event) => this.#onMessage(event));
		}
	}

	#closeSource() {
		this.#flush();
		clearTimeout(this.#retryTimer);
		this.#source?.close();
		this.#source = undefined;
	}

	#onOpen() {
		this.#heardMs = Date.now();
		this.#brokenSinceMs = undefined;
		this.#retryMs = FIRST_RETRY_MS;
		this.#setState("live");
	}

	#onMessage({ type, data }) {
		this.#heardMs = Date.now();
		const waiting = this.#queue.push({ type, data });
		if (waiting === 1) this.#soon.port2.postMessage(0);
		if (waiting > MOST_WAITING) this.#flush(TASK_MS);
	}

	/**
	 * Delivers messages here and, as one post, to the other tabs: a browser reads a flood of them
	 * in one task.
	 */
	#flush(longestMs = Infinity) {
		const after = this.#position;
		const endMs = performance.now() + longestMs;
		let count = 0;
		while (count < this.#queue.length && performance.now() < endMs) {
			this.#position = this.stream.deliver(this.#queue[count], this.#position);
			count += 1;
		}
		const messages = this.#queue.splice(0, count);
		if (messages.length) this.stream.post({ after, messages });
		if (this.#queue.length) this.#soon.port2.postMessage(0);
	}

	async #onError() {
		this.#closeSource();
		this.#brokenSinceMs ??= Date.now();
		this.#retryTimer = setTimeout(() => this.#open(), this.#retryMs);
		const longest = document.hidden ? HIDDEN_RETRY_MS : LAST_RETRY_MS;
		this.#retryMs = Math.min(2 * this.#retryMs, longest);
		if (this.#state !== "locked") this.#setBroken();
		const answer = await fetch("/healthz").catch(() => undefined);
		if (this.#brokenSinceMs === undefined) return;
		if (answer?.status === 401) this.#setState("locked");
		else this.#setBroken();
	}

	#setBroken() {
		const brokenMs = Date.now() - Number(this.#brokenSinceMs);
		this.#setState(brokenMs < OFFLINE_MS ? "reconnecting" : "offline");
	}

	/** @param {Types.ConnectionState} state */
	#setState(state) {
		this.#state = state;
		this.#flush();
		const brokenSinceMs = this.#brokenSinceMs;
		this.stream.post({ after: this.#position, state, brokenSinceMs });
		this.stream.listener.onState(state, brokenSinceMs);
	}

	#check() {
		if (this.#source && Date.now() - this.#heardMs > SILENCE_MS) this.#onError();
		else if (this.#brokenSinceMs !== undefined && this.#state !== "locked") this.#setBroken();
	}
}
