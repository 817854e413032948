// @ts-check
/**
 * One event stream for all tabs of a browser, that comes back by itself.
 *
 * A browser opens six connections to a host at most, so one tab holds the stream (a Web Lock chooses it) and
 * passes on what it hears by a BroadcastChannel; when it closes, the next holder goes on behind its own last
 * event, or behind that of a tab which says it knows less. Where there are no locks (plain HTTP to another
 * machine) every tab has its own stream. `EventSource` gives up on any answer but 200 and says nothing of a dead line: reopening is done here.
 *
 * Invariant: tells what it hears in order; knowing what was told before is the listener's part.
 */

const ADDRESS = "/api/claude/stream";
const TYPES = ["history.append", "file.changed", "server.notice", "server.error", "ping"];
const NAME = "claude-live";

/** The server pings every 15 s: three missed ones are a dead line. */
const SILENCE_MS = 45_000;
/** A holder that does not answer another tab for so long is taken for frozen, and the stream is taken over. */
const ANSWER_MS = 3_000;
const LOOK_EVERY_MS = 5_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
/** So long "reconnecting" is told before it is called offline. */
const PATIENCE_MS = 10_000;

/** @typedef {"connecting" | "live" | "reconnecting" | "offline" | "locked"} State locked: the server wants its token */
/** @typedef {{ event: (type: string, data: string) => void, state: (state: State, since: number) => void, lastId: () => number }} Listener */

export class Stream {
  #channel = navigator.locks ? new BroadcastChannel(NAME) : null;
  /** @type {Line | null} only in the tab that holds the stream */
  #line = null;
  #heard = Date.now();

  /** Hears from now on what another tab passes on. @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
    if (this.#channel) this.#channel.onmessage = ({ data }) => this.#told(data);
  }

  /** To be called once the listener has an id to go on from. */
  start() {
    if (!this.#channel) return this.#lead();
    this.#queue({});
    this.#ask();
    setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  /** Looks at once whether the stream lives, and reopens it if not. */
  hurry() {
    if (this.#line) this.#line.hurry();
    else if (this.#channel) this.#ask();
  }

  /** @param {LockOptions} options */
  #queue(options) {
    const held = () => new Promise(() => this.#lead());
    navigator.locks.request(NAME, options, held).catch(() => this.#robbed());
  }

  #robbed() {
    this.#line?.close();
    this.#line = null;
    this.#queue({});
  }

  #lead() {
    if (this.#line) return;
    const line = (this.#line = new Line({
      event: (type, data) => this.#pass(type, data),
      state: () => this.#announce(line),
      lastId: this.listener.lastId,
    }));
    this.#post({ from: this.listener.lastId() });
    line.open();
  }

  /** @param {string} type @param {string} data */
  #pass(type, data) {
    this.#post({ event: [type, data] });
    this.listener.event(type, data);
  }

  /** @param {Line} line */
  #announce({ state, since }) {
    this.#post({ state: [state, since] });
    this.listener.state(state, since);
  }

  /** @param {object} message */
  #post(message) {
    this.#channel?.postMessage(message);
  }

  /** @param {{ event?: [string, string], state?: [State, number], from?: number, behind?: number, hello?: true }} message */
  #told({ event, state, from, behind, hello }) {
    this.#heard = Date.now();
    if (event) this.listener.event(...event);
    if (state && !this.#line) this.listener.state(...state);
    if (from !== undefined && this.listener.lastId() < from) this.#post({ behind: this.listener.lastId() });
    if (behind !== undefined) this.#line?.backTo(behind);
    if (hello && this.#line) this.#answer(this.#line);
  }

  /** @param {Line} line */
  #answer(line) {
    line.hurry();
    this.#post({ state: [line.state, line.since] });
  }

  #look() {
    if (!this.#line && Date.now() - this.#heard > SILENCE_MS) this.#ask();
  }

  #ask() {
    const asked = Date.now();
    this.#post({ hello: true });
    setTimeout(() => !this.#line && this.#heard < asked && this.#queue({ steal: true }), ANSWER_MS);
  }
}

/** The one EventSource. */
class Line {
  /** @type {EventSource | null} */
  #source = null;
  #from = 0;
  #heard = 0;
  #retryMs = FIRST_RETRY_MS;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #brokenSince = 0;
  /** @type {State} */
  state = "connecting";
  since = Date.now();

  /** @param {{ event: (type: string, data: string) => void, state: () => void, lastId: () => number }} on */
  constructor(on) {
    this.on = on;
    this.look = setInterval(() => this.check(), LOOK_EVERY_MS);
  }

  /** @param {number} [from] */
  open(from = this.on.lastId()) {
    this.#stop();
    this.#from = from;
    this.#heard = Date.now();
    const source = (this.#source = new EventSource(`${ADDRESS}?since=${from}`));
    source.onopen = () => this.#opened();
    source.onerror = () => this.#failed();
    for (const type of TYPES) source.addEventListener(type, ({ data }) => this.#hear(type, data));
  }

  /** Another tab has not heard what came after this id. @param {number} id */
  backTo(id) {
    if (id < this.#from) this.open(id);
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  close() {
    this.#stop();
    clearInterval(this.look);
  }

  #opened() {
    this.#heard = Date.now();
    this.#brokenSince = 0;
    this.#retryMs = FIRST_RETRY_MS;
    this.#tell("live");
  }

  /** @param {string} type @param {string} data */
  #hear(type, data) {
    this.#heard = Date.now();
    this.on.event(type, data);
  }

  async #failed() {
    this.#stop();
    this.#brokenSince ||= Date.now();
    this.#timer = setTimeout(() => this.open(), this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    if (this.state !== "locked") this.#tellBroken();
    const locked = await wantsToken();
    if (this.#brokenSince) locked ? this.#tell("locked") : this.#tellBroken();
  }

  #tellBroken() {
    const patient = Date.now() - this.#brokenSince < PATIENCE_MS;
    this.#tell(patient ? "reconnecting" : "offline");
  }

  /** @param {State} state */
  #tell(state) {
    if (state !== this.state) this.since = state === "offline" ? this.#brokenSince : Date.now();
    this.state = state;
    this.on.state();
  }

  /** Whether the line is still what it says it is. */
  check() {
    const silent = Date.now() - this.#heard > SILENCE_MS;
    if (this.#source && silent) this.#failed();
    else if (this.#brokenSince && this.state !== "locked") this.#tellBroken();
  }

  /** There is reason to hope: no waiting for the next try. */
  hurry() {
    this.check();
    if (this.#source) return;
    this.#retryMs = FIRST_RETRY_MS;
    this.open();
  }
}

async function wantsToken() {
  const answer = await fetch("/healthz").catch(() => null);
  return answer?.status === 401;
}
