/**
 * A browser of several tabs and a server, as far as `stream.js` knows them: a made-up clock, and
 * tasks that run one by one in an order that the test chooses.
 */
import { Stream } from "../../static/stream.js";

const FIRST_ID = 1_000;
const PING_MS = 15_000;

/** The server: a ring of events, and the streams that are open. */
class Server {
  lastId = FIRST_ID;
  isUp = true;
  /** @type {Set<Source>} */
  sources = new Set();
  /** Count of streams so far. */
  opened = 0;

  constructor(world, ring) {
    this.world = world;
    this.ring = ring;
    this.events = [];
    /** Ids of all events, without those of resyncs. */
    this.published = [];
  }

  publish(type = "history.append") {
    this.lastId += 1;
    this.published.push(this.lastId);
    this.events.push({ id: this.lastId, type, data: {} });
    this.events = this.events.slice(-this.ring);
    for (const source of this.sources) source.catchUp();
  }

  /** Returns the events after an id, or a resync if the ring does not reach back to it. */
  read(id) {
    const isHeld = id <= this.lastId && id >= (this.events[0]?.id ?? this.lastId + 1) - 1;
    if (isHeld) return this.events.filter((event) => event.id > id);
    this.lastId += 1;
    this.events = [];
    return [{ id: this.lastId, type: "server.notice", data: { kind: "stream.resync" } }];
  }

  /** Starts again: the same lines have new ids. */
  restart(firstId = this.lastId + 1_000_000) {
    this.stop();
    this.lastId = firstId;
    this.events = [];
    this.isUp = true;
  }

  ping() {
    for (const source of this.sources) source.receive("ping", { data: "{}", lastEventId: "" });
  }

  stop() {
    this.isUp = false;
    for (const source of [...this.sources]) source.break();
  }
}

class Source {
  listeners = {};

  constructor(url) {
    this.world = world;
    this.tab = world.tab;
    const { searchParams } = new URL(url, "http://localhost");
    this.position = Number(searchParams.get("since"));
    this.types = searchParams.get("types").split(",");
    world.post(this.tab, this, () => this.connect());
  }

  connect() {
    if (!this.world.server.isUp) return this.onerror?.();
    this.world.server.sources.add(this);
    this.world.server.opened += 1;
    this.onopen();
    this.catchUp();
  }

  catchUp() {
    for (const event of this.world.server.read(this.position)) {
      this.position = event.id;
      if (!this.types.includes(event.type)) continue;
      this.receive(event.type, { data: JSON.stringify(event), lastEventId: `${event.id}` });
    }
  }

  receive(type, message) {
    this.world.post(this.tab, this, () => this.listeners[type]({ type, ...message }));
  }

  addEventListener(type, listener) {
    this.listeners[type] = listener;
  }

  break() {
    this.world.server.sources.delete(this);
    this.world.post(this.tab, this, () => this.onerror?.());
  }

  close() {
    this.world.server.sources.delete(this);
    this.world.drop(this);
  }
}

class Channel {
  constructor() {
    this.world = world;
    this.tab = world.tab;
    world.channels.add(this);
  }

  postMessage(data) {
    for (const other of this.world.channels) {
      if (other === this) continue;
      const copy = structuredClone(data);
      this.world.post(other.tab, other, () => other.onmessage?.({ data: copy }));
    }
  }
}

class Ports {
  port1 = {};

  constructor() {
    const [{ tab }, { port1 }] = [world, this];
    this.port2 = { postMessage: () => world.post(tab, port1, () => port1.onmessage()) };
  }
}

/** One lock, granted in the order of requests. A thief gets it before its holder loses it. */
class Locks {
  queue = [];
  holder;

  request(name, { steal = false }, take) {
    return new Promise((resolve, reject) => {
      const request = { tab: world.tab, take, reject };
      if (steal) this.steal(request);
      else this.queue.push(request);
      this.next();
    });
  }

  steal(request) {
    const stolen = this.holder;
    this.grant(request);
    if (stolen) world.post(stolen.tab, stolen.tab, () => stolen.reject(new Error("stolen")));
  }

  grant(request) {
    this.holder = request;
    world.post(request.tab, request.tab, () => request.take());
  }

  next() {
    if (!this.holder && this.queue.length) this.grant(this.queue.shift());
  }

  forget(tab) {
    this.queue = this.queue.filter((request) => request.tab !== tab);
    if (this.holder?.tab === tab) this.holder = undefined;
    this.next();
  }
}

/** @type {World} */
let world;

export class World {
  ms = 1_795_000_000_000;
  /** Time that a tab takes for an event. */
  workMs = 0;
  tasks = [];
  timers = [];
  channels = new Set();
  tabs = [];
  /** A tab that runs nothing, though its tasks and timers wait. */
  frozen;
  locks = new Locks();

  /** @param {{ ring?: number, choose?: (count: number) => number }} options */
  constructor({ ring = 1_000, choose = () => 0 } = {}) {
    world = this;
    this.choose = choose;
    this.server = new Server(this, ring);
    Object.assign(globalThis, {
      BroadcastChannel: Channel,
      EventSource: Source,
      MessageChannel: Ports,
      document: { hidden: false },
      fetch: async () => ({ status: 200 }),
      setTimeout: (step, ms) => this.addTimer(step, ms),
      setInterval: (step, ms) => this.addTimer(step, ms, ms),
      clearTimeout: (timer) => (this.timers = this.timers.filter((other) => other !== timer)),
      clearInterval: (timer) => clearTimeout(timer),
    });
    Object.defineProperty(globalThis, "navigator", {
      value: { locks: this.locks },
      configurable: true,
    });
    Date.now = () => this.ms;
    performance.now = () => this.ms;
    this.addTimer(() => this.server.ping(), PING_MS, PING_MS);
  }

  addTimer(step, ms, everyMs) {
    const timer = { tab: this.tab, dueMs: this.ms + ms, step, everyMs };
    this.timers.push(timer);
    return timer;
  }

  post(tab, queue, step) {
    this.tasks.push({ tab, queue, step });
  }

  drop(queue) {
    this.tasks = this.tasks.filter((task) => task.queue !== queue);
  }

  as(tab, step) {
    this.tab = tab;
    step();
  }

  /** Runs one of the tasks that are first in their queues, and the microtasks after it. */
  async step() {
    const isFirst = (task, at) =>
      (!this.frozen || task.tab !== this.frozen) &&
      this.tasks.findIndex(({ queue }) => queue === task.queue) === at;
    const first = this.tasks.filter(isFirst);
    if (!first.length) return false;
    const task = first[this.choose(first.length)];
    this.tasks.splice(this.tasks.indexOf(task), 1);
    this.as(task.tab, task.step);
    await new Promise((resume) => setImmediate(resume));
    return true;
  }

  async settle() {
    while (await this.step());
  }

  /** Lets time pass, with all that is due meanwhile. Timers of one moment run before any task. */
  async pass(ms) {
    for (const end = this.ms + ms; ;) {
      await this.settle();
      const running = this.timers.filter(({ tab }) => !this.frozen || tab !== this.frozen);
      const nextMs = Math.max(this.ms, Math.min(...running.map(({ dueMs }) => dueMs)));
      this.ms = Math.min(nextMs, end);
      if (nextMs > end) return;
      for (const timer of running.filter(({ dueMs }) => dueMs <= nextMs)) this.run(timer);
    }
  }

  run(timer) {
    if (!this.timers.includes(timer)) return;
    if (timer.everyMs) timer.dueMs += timer.everyMs;
    else clearTimeout(timer);
    this.as(timer.tab, timer.step);
  }

  /** A tab whose backlog reaches up to an id. */
  open(position = this.server.lastId) {
    const tab = { from: position, events: [], state: "connecting" };
    const listener = {
      onEvent: (event) => {
        this.ms += this.workMs;
        tab.events.push(event);
      },
      onPing: () => {},
      onState: (state) => (tab.state = state),
    };
    tab.stream = new Stream(listener, ["history.append", "session.changed"]);
    tab.start = () => this.as(tab, () => tab.stream.start(position));
    this.tabs.push(tab);
    return tab;
  }

  close(tab) {
    this.tabs = this.tabs.filter((other) => other !== tab);
    for (const channel of this.channels) if (channel.tab === tab) this.channels.delete(channel);
    for (const source of [...this.server.sources]) if (source.tab === tab) source.close();
    this.tasks = this.tasks.filter((task) => task.tab !== tab);
    this.timers = this.timers.filter((timer) => timer.tab !== tab);
    this.locks.forget(tab);
  }
}
