// @ts-check
/**
 * The page's state: what came, what is wanted, what is shown.
 *
 * The backlog is read once and then the stream from its last id. What comes waits while the page is
 * paused, read further down or not looked at; else it is rendered at once, and at most once a second.
 *
 * Invariant: everything that is shown follows from `page`, `feed` and `tally`; `draw` may be called at any time.
 */
import { batch } from "./batch.js";
import { Chart } from "./chart.js";
import { el, mark, part, say } from "./dom.js";
import { Feed, isReset, isResync } from "./feed.js";
import { EVERYTHING, fromHash, isActive, matcher, toHash } from "./filter.js";
import { KINDS, ago, bytes, clip, clock, isHistory, isTyped, item, lastSegment, plural, shortId } from "./format.js";
import { Table } from "./render.js";
import { masked } from "./secrets.js";
import { Stream } from "./stream.js";
import { Tally } from "./tally.js";

/** @typedef {import("./format.js").Item} Item */
/** @typedef {import("./stream.js").State} State */

const BACKLOG = "/api/claude/live/backlog?limit=";
/** The first look, and all that the server holds. */
const FIRST = 200;
const ALL = 1000;
/** Rows at most; `ALL` once older events were asked for. */
const ROWS = 500;
const RETRY_MS = 2_000;
const TICK_MS = 1_000;
/** The server is asked how far it has read at most so often. */
const HEALTH_MS = 2_000;
const NAME = document.title;

const page = {
  filter: fromHash(location.hash),
  paused: false,
  reading: false,
  rows: ROWS,
  /** Ids up to this one were cleared away. */
  cleared: 0,
  loaded: false,
  /** @type {State} */
  state: "connecting",
  since: Date.now(),
  lastEvent: 0,
  /** When the last visit ended; 0 for never. */
  left: remembered("left"),
  unseen: 0,
  notify: remembered("notify") === 1 && globalThis.Notification?.permission === "granted",
  /** @type {any} */
  health: null,
  /** How the last reconnect went; `missed` is negative until that is known. @type {{ at: number, from: number, gap: boolean, missed: number } | null} */
  back: null,
};

const feed = new Feed();
const tally = new Tally();
const table = new Table(/** @type {HTMLElement} */ (part("table").querySelector("tbody")), (field, value) => filterBy(field, value));
const chart = new Chart(part("chart"), goTo);
const poke = batch(flush);
const stream = new Stream({ event: heard, state: stateChanged, lastId: () => feed.lastId });

/** @param {string} key */
function remembered(key) {
  try {
    return Number(localStorage.getItem(`claude-live.${key}`));
  } catch {
    return 0; // storage is switched off
  }
}

/** @param {string} key @param {number} value */
function remember(key, value) {
  try {
    localStorage.setItem(`claude-live.${key}`, String(value));
  } catch {
    // storage is switched off: the next visit begins without it
  }
}

/** @param {string} type @param {string} data */
function heard(type, data) {
  if (type === "ping") return askHealth();
  const event = JSON.parse(data);
  const now = Date.now();
  const fresh = feed.accept(event, now);
  if (isResync(event) && page.back) page.back.gap = true;
  if (isResync(event) || isReset(event)) reload();
  if (!fresh) return;
  page.lastEvent = now;
  arrived(fresh, now);
  poke();
}

/** @param {Item} fresh @param {number} now */
function arrived(fresh, now) {
  tally.add(fresh, now);
  if (document.hidden) page.unseen += 1;
  if (page.notify && !document.hasFocus() && isTyped(fresh) && matcher(page.filter)(fresh)) notifySoon(fresh);
}

/** @param {State} state @param {number} since */
function stateChanged(state, since) {
  if (state !== "live" && page.state === "live") page.back = { at: 0, from: feed.lastId, gap: false, missed: -1 };
  if (state === "live" && page.back?.at === 0) page.back.at = Date.now();
  if (state === "live") askHealth();
  page.state = state;
  page.since = since;
  drawState();
}

function frozen() {
  return page.paused || page.reading || document.hidden;
}

function flush() {
  if (!frozen()) feed.settle();
  draw();
  askHealth();
}

/** @param {number} limit */
async function fetchBacklog(limit) {
  const answer = await fetch(BACKLOG + limit);
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

async function start() {
  try {
    take(await fetchBacklog(FIRST), FIRST);
  } catch (error) {
    stateChanged(/** @type {Error} */ (error).message === "401" ? "locked" : "reconnecting", page.since);
    setTimeout(start, RETRY_MS);
    return;
  }
  stream.start();
  if (tally.partial) count(await fetchBacklog(ALL), ALL);
}

/** @param {any} backlog @param {number} limit */
function take(backlog, limit) {
  feed.load(backlog, Date.now());
  page.loaded = true;
  page.lastEvent ||= feed.items[0]?.ms ?? 0;
  count(backlog, limit);
  draw();
}

/** @param {any} backlog @param {number} limit */
function count({ events, lastEventId }, limit) {
  const now = Date.now();
  const newer = [...feed.pending].reverse().concat(feed.items).filter(({ id }) => id > lastEventId);
  tally.restart(newer.concat(events.map((/** @type {any} */ event) => item(event, now))), now, events.length === limit);
  chart.draw(tally.hour(now));
  drawTotals();
}

let reloading = false;

/** What the server now holds replaces the history rows; asked for again while under way, it is done again. */
async function reload(limit = Math.max(FIRST, Math.min(ALL, feed.items.filter(isHistory).length))) {
  if (reloading) return setTimeout(reload, TICK_MS, limit);
  reloading = true;
  await fetchBacklog(limit).then((backlog) => take(backlog, limit), () => setTimeout(reload, RETRY_MS, limit));
  reloading = false;
}

/** @param {number} ms the rows of this time and before */
async function goTo(ms) {
  const oldest = feed.items[feed.items.length - 1];
  if (oldest && oldest.ms > ms) await older();
  const at = table.shown.findIndex((shown) => shown.ms < ms);
  if (at >= 0) table.focus(at);
}

async function older() {
  page.rows = ALL;
  await reload(ALL);
}

/** @param {"project" | "session" | "kind" | "q"} field @param {string} value the same again takes it back */
function filterBy(field, value) {
  setFilter({ ...page.filter, [field]: page.filter[field] === value ? "" : value });
}

/** @param {import("./filter.js").Filter} filter */
function setFilter(filter) {
  page.filter = { ...filter };
  history.replaceState(null, "", toHash(filter) || location.pathname);
  draw();
}

function togglePause() {
  page.paused = !page.paused;
  flush();
}

function clear() {
  page.cleared = page.cleared ? 0 : Math.max(feed.lastId, feed.items[0]?.id ?? 0);
  if (page.cleared && !page.paused) feed.settle();
  draw();
}

function toTop() {
  scrollTo({ top: 0, behavior: "instant" });
  page.reading = false;
  flush();
}

function draw() {
  const now = Date.now();
  const match = matcher(page.filter);
  const there = feed.items.filter(({ id }) => id > page.cleared);
  const wanted = there.filter(match);
  table.show(wanted.slice(0, page.rows), now, page.left);
  chart.draw(tally.hour(now));
  drawTotals();
  drawTools(there.length - wanted.length);
  drawOptions();
  drawEmpty(wanted.length);
  drawState();
}

function drawTotals() {
  const totals = { prompts: tally.prompts, sessions: tally.sessions.size, projects: tally.projects.size };
  for (const [name, total] of Object.entries(totals)) {
    const node = part("totals").querySelector(`[data-total=${name}]`);
    if (node) say(node, total.toLocaleString() + (tally.partial ? "+" : ""));
  }
}

/** @param {number} hidden */
function drawTools(hidden) {
  const { filter, paused } = page;
  const waiting = feed.waiting.toLocaleString();
  const search = /** @type {HTMLInputElement} */ (part("search"));
  if (search.value.trim() !== filter.q) search.value = filter.q;
  say(part("pause"), paused ? `Resume${feed.waiting ? ` · ${waiting} waiting` : ""}` : "Pause");
  mark(part("pause"), "aria-pressed", String(paused));
  say(part("clear"), page.cleared ? "Show again" : "Clear");
  part("hidden").hidden = !isActive(filter);
  say(/** @type {Element} */ (part("hidden").firstElementChild), `${hidden.toLocaleString()} hidden`);
  part("new").hidden = paused || !page.reading || feed.waiting === 0;
  say(part("new"), `${waiting} new`);
  part("older").hidden = page.rows === ALL || feed.items.length < FIRST;
}

/** Each select offers what is there, and what is chosen though it is not. */
function drawOptions() {
  const { items } = feed;
  const kinds = [...KINDS].filter(([kind]) => items.some((other) => other.kind === kind));
  options("kind", "All kinds", kinds.map(([kind, [, , many]]) => [kind, many]));
  options("project", "All projects", unique(items, "project").map((path) => [path, masked(clip(lastSegment(path), 40))]));
  options("session", "All sessions", unique(items, "session").map((id) => [id, masked(shortId(id))]));
}

/** @param {Item[]} items @param {"project" | "session"} field */
function unique(items, field) {
  return [...new Set(items.map((item) => item[field]))].filter(Boolean);
}

/** @param {"kind" | "project" | "session"} field @param {string} all @param {string[][]} choices */
function options(field, all, choices) {
  const select = /** @type {HTMLSelectElement} */ (part(field));
  const chosen = page.filter[field];
  const missing = chosen && !choices.some(([value]) => value === chosen) ? [[chosen, clip(masked(lastSegment(chosen)), 40)]] : [];
  const wanted = [["", all], ...choices, ...missing];
  const same = select.options.length === wanted.length && wanted.every(([value], at) => select.options[at].value === value);
  if (!same && select !== document.activeElement) select.replaceChildren(...wanted.map(([value, label]) => el("option", { value }, label)));
  select.value = chosen;
  mark(select, "data-chosen", chosen !== "");
}

/** @param {number} shown */
function drawEmpty(shown) {
  const why = shown === 0 && page.loaded && emptyWords();
  part("empty").hidden = !why;
  if (!why) return;
  const [title, hint] = why;
  if (part("empty").dataset.why === title) return;
  part("empty").dataset.why = title;
  part("empty").replaceChildren(el("p", { class: "title" }, title), el("p", {}, hint));
}

/** @returns {[string, string]} */
function emptyWords() {
  const { history } = page.health ?? {};
  if (feed.items.length && page.cleared && !isActive(page.filter)) return ["Cleared", "New events appear here. “Show again” brings the others back."];
  if (isActive(page.filter)) return ["Nothing matches", "Among the events held here none matches the search and the filters."];
  if (history && !history.exists) return [`Waiting for ${history.path}`, "Claude Code writes it with the first prompt. Type one, and it appears here."];
  return ["Waiting for the first prompt", "Type a prompt in Claude Code, and it appears here. To see how that looks, run claude-live --demo."];
}

/** @type {Record<State, () => string>} */
const STATES = {
  connecting: () => "connecting…",
  live: () => "live",
  reconnecting: () => "reconnecting…",
  offline: () => `offline since ${clock(page.since)}`,
  locked: () => "token wanted",
};

const ICONS = { live: "favicon.svg", connecting: "favicon-wait.svg", reconnecting: "favicon-wait.svg", offline: "favicon-off.svg", locked: "favicon-off.svg" };

function drawState() {
  const { state, unseen } = page;
  mark(part("conn"), "data-state", state);
  say(part("conn"), STATES[state]());
  mark(part("icon"), "href", `/static/${ICONS[state]}`);
  document.title = unseen ? `(${unseen > 999 ? "999+" : unseen}) ${NAME}` : NAME;
  drawBanner();
  drawStatus();
}

function drawBanner() {
  const { state } = page;
  const text = {
    locked: "This server wants its token. Open the address with ?token=… once, as it was printed at its start; this page then goes on by itself.",
    offline: `No answer from ${location.host}. Start claude-live again there; this page then goes on by itself.`,
  }[/** @type {string} */ (state)];
  part("banner").hidden = !text;
  say(part("banner"), text ?? "");
}

function drawStatus() {
  const { health, lastEvent } = page;
  const { history, counters } = health ?? {};
  const parts = [
    lastEvent ? `last event ${ago(Date.now() - lastEvent).replace(/\d.*/, "$& ago")}` : "no event yet",
    history && (history.exists ? `${history.path}: ${bytes(history.readBytes)} of ${bytes(history.sizeBytes)} read` : `${history.path} does not exist yet`),
    `${plural(table.shown.length, "row")} shown`,
    counters && `${counters.parseErrors.toLocaleString()} malformed`,
    counters && `${counters.oversizedLines.toLocaleString()} too long`,
    backWords(),
  ].filter(Boolean);
  const status = part("status");
  while (status.childElementCount < parts.length) status.append(el("span"));
  while (status.childElementCount > parts.length) status.lastElementChild?.remove();
  parts.forEach((text, at) => say(status.children[at], text));
}

function backWords() {
  const { back } = page;
  if (!back || back.missed < 0) return "";
  return `reconnected ${clock(back.at)}: ${back.gap ? "gap reloaded" : `${back.missed.toLocaleString()} replayed`}`;
}

let asked = 0;
let asking = false;

/** At most once in `HEALTH_MS`, but always once more after the last call; not while nobody looks. */
function askHealth() {
  if (asking || document.hidden) return;
  asking = true;
  setTimeout(askHealthNow, Math.max(0, asked + HEALTH_MS - Date.now()));
}

async function askHealthNow() {
  asked = Date.now();
  asking = false;
  const answer = await fetch("/healthz").catch(() => null);
  if (!answer?.ok) return;
  page.health = await answer.json();
  const { back } = page;
  if (back?.at && back.missed < 0) back.missed = Math.max(0, page.health.lastEventId - back.from);
  if (table.shown.length === 0) drawEmpty(0);
  drawStatus();
}

/** @type {Item[]} */
let told = [];

/** One notification a second at most, and one on the screen whatever the number of tabs. @param {Item} fresh */
function notifySoon(fresh) {
  if (told.push(fresh) === 1) setTimeout(notifyNow, TICK_MS);
}

function notifyNow() {
  const [first, ...others] = told;
  const title = others.length ? `${told.length} new prompts` : lastSegment(first.project) || "New prompt";
  const shown = new Notification(masked(title), { body: masked(clip(first.text, 200)), tag: NAME, icon: "/static/favicon.svg" });
  shown.onclick = () => focus();
  told = [];
}

async function toggleNotify() {
  const granted = !page.notify && (await globalThis.Notification?.requestPermission()) === "granted";
  page.notify = granted;
  remember("notify", granted ? 1 : 0);
  drawNotify();
}

function drawNotify() {
  mark(part("notify"), "aria-pressed", String(page.notify));
  part("notify").hidden = !globalThis.Notification;
}

/** Nothing is drawn for nobody; on return a mark says where one was. */
function lookedAt() {
  if (document.hidden) return leave();
  if (feed.waiting && !page.paused) page.left = remembered("left");
  page.unseen = 0;
  flush();
  stream.hurry();
}

function leave() {
  remember("left", Date.now());
}

/** @type {Record<string, () => void>} */
const KEYS = {
  j: () => table.move(1),
  k: () => table.move(-1),
  g: () => (toTop(), table.focus(0)),
  p: togglePause,
  c: clear,
  "/": () => part("search").focus(),
  "?": () => /** @type {HTMLDialogElement} */ (part("keys")).showModal(),
  Escape: () => setFilter(EVERYTHING),
};

/** @param {KeyboardEvent} event */
function keyPressed(event) {
  const { key, target } = event;
  const typing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
  const taken = event.ctrlKey || event.metaKey || event.altKey || part("keys").hasAttribute("open");
  if (taken || !Object.hasOwn(KEYS, key) || (typing && key !== "Escape")) return;
  event.preventDefault();
  KEYS[key]();
}

/** @param {string} name @param {string} event @param {(event: any) => void} step */
function on(name, event, step) {
  part(name).addEventListener(event, step);
}

/** Whether the newest row is out of sight: then rows wait. */
function watchEdge() {
  const bar = /** @type {HTMLElement} */ (document.querySelector(".tools"));
  const seen = (/** @type {IntersectionObserverEntry[]} */ entries) => {
    const { isIntersecting, boundingClientRect } = entries[entries.length - 1];
    page.reading = !isIntersecting && boundingClientRect.top < innerHeight / 2;
    if (page.reading) drawTools(0);
    else if (feed.waiting) flush();
  };
  new IntersectionObserver(seen, { rootMargin: `-${bar.offsetHeight}px 0px 0px 0px` }).observe(part("edge"));
}

function wire() {
  on("search", "input", ({ target }) => setFilter({ ...page.filter, q: target.value.trim() }));
  for (const field of /** @type {const} */ (["kind", "project", "session"])) {
    on(field, "change", ({ target }) => setFilter({ ...page.filter, [field]: target.value }));
    on(field, "focus", drawOptions);
  }
  on("pause", "click", togglePause);
  on("clear", "click", clear);
  on("hidden", "click", ({ target }) => target.closest("button") && setFilter(EVERYTHING));
  on("new", "click", toTop);
  on("older", "click", older);
  on("notify", "click", toggleNotify);
  on("help", "click", KEYS["?"]);
  on("keys-close", "click", () => /** @type {HTMLDialogElement} */ (part("keys")).close());
  document.addEventListener("keydown", keyPressed);
  document.addEventListener("visibilitychange", lookedAt);
  addEventListener("pagehide", leave);
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  addEventListener("online", () => stream.hurry());
  addEventListener("hashchange", () => setFilter(fromHash(location.hash)));
}

/** Times grow older; the rest follows. */
function tick() {
  if (document.hidden) return;
  const now = Date.now();
  table.tick(now);
  chart.draw(tally.hour(now));
  drawStatus();
}

wire();
watchEdge();
drawNotify();
draw();
start();
setInterval(tick, TICK_MS);
