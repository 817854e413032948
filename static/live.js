/**
 * The page's state: what came, what is wanted, what is shown.
 * What comes waits while the page is paused, read further down or not looked at.
 * Invariant: what is shown follows from `page` and `feed`; `draw` may be called at any time.
 */
import { batch } from "./batch.js";
import { Chart } from "./chart.js";
import { el, mark, parts, say } from "./dom.js";
import { Feed, HELD, noticeKind } from "./feed.js";
import { EVERYTHING, fromHash, matcher, toHash, wantedWords } from "./filter.js";
import { KINDS, ago, brief, bytes, clock, inflect, isHistory, isTyped, namesOf, number, plural, shortId } from "./format.js";
import { Table } from "./render.js";
import { Stream } from "./stream.js";
import { MINUTE_MS, hour, today } from "./tally.js";

/** Events at first, and rows until older ones are wanted. */
const FIRST = 200;
const ROWS = 500;
/** Drawn first. A row has 30 pixels at least. */
const SCREENFUL = Math.ceil(innerHeight / 30);
const RETRY_MS = 2_000;
const TICK_MS = 1_000;
const BODY_CHARS = 200;
/** Who looks elsewhere for less was not away. */
const AWAY_MS = 60_000;
const NAME = document.title;

const kept = memory();
const at = parts();
const page = {
	filter: fromHash(location.hash),
	/** The first rows are painted. */
	isLoaded: false,
	isPaused: false,
	/** The newest row is out of sight. */
	isReading: false,
	rows: ROWS,
	/** All that the server has was read. */
	isWhole: false,
	/** Of today, but no rows. @type {Item[]} */
	earlier: [],
	/** @type {State} */
	state: "connecting",
	brokenSince: 0,
	lastMs: 0,
	/** When one last looked; 0 for never. */
	left: leftSince(0),
	unseen: 0,
	notifies: kept.claudeLiveNotifies === "true",
	/** @type {any} */
	health: {},
	/** `missed` is negative until it is known. @type {any} */
	back: { missed: NaN },
};

const feed = new Feed();
const table = new Table(at.table.tBodies[0], (field, value) => narrow({ [field]: page.filter[field] === value ? "" : value }));
const chart = new Chart(at.chart, goTo);
const reload = batch(() => load(reach()).catch(() => setTimeout(reload, RETRY_MS)));
const stream = new Stream({ event: heard, state: stateChanged, reload, lastId: () => feed.lastId });
const poke = batch(flush);
const askHealth = batch(readHealth);
const notifySoon = batch(notify);

/** Nothing where storage is switched off. @returns {any} */
function memory() {
	try {
		return localStorage;
	} catch {
		return {};
	}
}

/** When one went away, if that was long enough. */
function leftSince(before) {
	const left = Number(kept.claudeLiveLeft ?? 0);
	return Date.now() - left < AWAY_MS ? before : left;
}

function heard(type, data) {
	if (type === "ping") return askHealth();
	const event = JSON.parse(data);
	const fresh = feed.accept(event, Date.now());
	const isGap = noticeKind(event) === "stream.resync";
	page.back.isGap ||= isGap;
	if (isGap || noticeKind(event) === "history.reset") reload();
	if (!fresh) return;
	page.lastMs = Date.now();
	if (document.hidden) page.unseen += 1;
	if (page.notifies && !document.hasFocus() && isTyped(fresh) && matcher(page.filter)(fresh)) told.push(fresh) && notifySoon();
	poke();
}

function stateChanged(state, brokenSince) {
	if (state === "live") {
		page.back.at ??= Date.now();
		askHealth();
	} else if (page.state === "live") page.back = { from: feed.lastId, missed: -1 };
	page.state = state;
	page.brokenSince = brokenSince;
	drawState();
}

function flush() {
	if (document.hidden) return drawState();
	if (!page.isPaused && !page.isReading) feed.settle();
	draw();
	askHealth();
}

async function backlog(limit) {
	const answer = await fetch(`/api/claude/live/backlog?limit=${limit}`);
	if (!answer.ok) throw answer;
	return answer.json();
}

/** While paused, more can wait than is shown: only the whole tells what is gone. */
const reach = () => (page.isPaused ? HELD : Math.max(FIRST, feed.items.filter(isHistory).length));

async function load(limit) {
	const answer = await backlog(limit);
	feed.load(answer, Date.now(), page.isPaused);
	if (!page.isPaused) page.isWhole = limit === HELD || answer.events.length < limit;
	page.lastMs ||= lastOf(feed.items, Date.now());
	page.earlier = [];
	if (!page.isLoaded) await paint();
	draw();
	if (toHash(page.filter)) extend();
	else if (!page.isWhole && today(feed.items, Date.now()).isPartial) loadEarlier();
}

/** A line without a time has that of its reading, and some are of other years or days to come. */
function lastOf(items, now) {
	const times = items.filter(({ ms, event }) => event.data?.json?.timestamp && ms <= now).map(({ ms }) => ms);
	return times.length ? Math.max(...times) : (items[0]?.ms ?? 0);
}

/** Rows alone. What is hidden has no frames. */
async function paint() {
	drawRows();
	drawTools();
	await new Promise((resume) => (requestAnimationFrame(() => setTimeout(resume)), setTimeout(resume, TICK_MS)));
	page.isLoaded = true;
}

async function readOlder() {
	try {
		return feed.older(await backlog(HELD), Date.now());
	} catch {
		page.isWhole = false;
		return [];
	}
}

/** The totals have a whole day. */
async function loadEarlier() {
	page.earlier = await readOlder();
	drawShape();
}

async function start() {
	try {
		await load(FIRST);
		stream.start();
	} catch {
		stateChanged("reconnecting", 0);
		draw();
		setTimeout(start, RETRY_MS);
	}
}

/** Search looks through all that the server has. */
async function extend() {
	if (page.isWhole || !page.isLoaded) return;
	page.isWhole = true;
	feed.extend(await readOlder());
	page.earlier = [];
	draw();
}

async function older() {
	page.rows = HELD;
	draw();
	await extend();
}

async function goTo({ ms }) {
	const isThere = (shown) => shown.ms < ms + MINUTE_MS;
	if (!table.shown.some(isThere)) await older();
	table.focus(table.shown.findIndex(isThere));
}

function narrow(change) {
	page.filter = { ...page.filter, ...change };
	history.replaceState(null, "", toHash(page.filter) || location.pathname);
	draw();
	if (toHash(page.filter)) extend();
}

function draw() {
	drawRows();
	drawTools();
	drawShape();
	drawChoices();
	drawEmpty();
	drawState();
}

function drawRows() {
	const there = feed.items.filter(({ isCleared }) => !isCleared);
	const wanted = there.filter(matcher(page.filter));
	const names = namesOf(feed.items.map(({ project }) => project));
	const words = wantedWords(page.filter);
	table.show(wanted.slice(0, page.isLoaded ? page.rows : SCREENFUL), Date.now(), { left: page.left, names, words });
	const hidden = there.length - wanted.length;
	say(at.hidden, `${hidden ? `${number(hidden)} hidden: ` : ""}show all`);
	at.older.hidden = !page.isLoaded || (page.isWhole && wanted.length <= page.rows);
	at.end.hidden = !at.older.hidden || !page.isWhole || feed.items.length < HELD;
}

function drawShape() {
	const now = Date.now();
	const held = [...feed.pending, ...feed.items, ...page.earlier];
	const { isPartial, ...totals } = today(held, now);
	const more = isPartial && held.length >= HELD ? "+" : "";
	for (const [name, count] of Object.entries(totals)) {
		say(at[name], number(count) + more);
		say(at[name].previousElementSibling, `${inflect(count, name.slice(0, -1))} today`);
	}
	chart.draw(hour(held, now));
}

function drawTools() {
	const { filter, isPaused, isReading } = page;
	const { items, waiting } = feed;
	if (at.search.value.trim() !== filter.q) at.search.value = filter.q;
	say(at.pause, isPaused ? `Resume${waiting ? ` · ${number(waiting)} waiting` : ""}` : "Pause");
	mark(at.pause, "aria-pressed", String(isPaused));
	mark(at.notify, "aria-pressed", String(page.notifies));
	say(at.clear, items.some(({ isCleared }) => isCleared) ? "Show again" : "Clear");
	say(at.new, `${number(waiting)} new`);
	at.new.hidden = isPaused || !isReading || !waiting;
	at.hidden.hidden = !toHash(filter);
}

function drawChoices() {
	choices("kind", (kind) => KINDS[kind]?.[1] ?? kind);
	choices("project", (path, names) => brief(names.get(path)));
	choices("session", (session) => brief(shortId(session)));
}

/** Does not change while it is used. */
function choices(field, name) {
	const select = at[field];
	const chosen = page.filter[field];
	const values = ["", ...new Set([...feed.items.map((item) => item[field]), chosen].filter(Boolean))];
	if (String(values) !== select.dataset.values && select !== document.activeElement) {
		const names = namesOf(values);
		select.replaceChildren(...values.map((value) => el("option", { value }, value ? name(value, names) : `All ${field}s`)));
		select.dataset.values = values;
	}
	select.value = chosen;
	mark(select, "data-chosen", chosen !== "");
}

function drawEmpty() {
	at.empty.hidden = !page.isLoaded || table.shown.length > 0;
	emptyWords(page.health).forEach((text, index) => say(at.empty.children[index], text));
}

function emptyWords({ history, errors = [] }) {
	const broken = errors.find(({ path }) => path === history.path);
	const isCleared = feed.items.length > 0 && feed.items.every((item) => item.isCleared);
	if (isCleared) return ["Cleared", "“Show again” brings the rows back."];
	if (toHash(page.filter)) return ["Nothing matches", ""];
	if (broken) return [cannotRead(broken), "Its prompts appear here once it can be read."];
	if (history?.exists === false) return [`Waiting for ${history.path}`, "Type a prompt in Claude Code, and it appears here."];
	return ["Waiting for the first prompt", "Type one in Claude Code, or try claude-live --demo"];
}

const cannotRead = ({ path, msg }) => `Cannot read ${path}: ${msg}`;

/** Icon, words, and what to do. */
function stateWords() {
	const advice = (page.health.errors ?? []).map(cannotRead).join("\n");
	if (page.state === "live") return [advice && "-off", "live", advice];
	if (page.state === "offline") return ["-off", `offline since ${clock(page.brokenSince)}`, `No answer from ${location.host}. Start claude-live there again.`];
	if (page.state === "locked") return ["-off", "token wanted", "Open this address once with /?token=…"];
	return ["-wait", `${page.state}…`];
}

function drawState() {
	const [icon, words, advice = ""] = stateWords();
	mark(at.conn, "data-state", page.state);
	say(at.conn, words);
	mark(at.icon, "href", `/static/favicon${icon}.svg`);
	say(at.banner, advice);
	at.banner.hidden = !advice;
	document.title = page.unseen ? `(${number(page.unseen)}) ${NAME}` : NAME;
	drawStatus();
}

function drawStatus() {
	const { health: { history, counters }, lastMs, back } = page;
	const words = [
		lastMs ? `last event ${ago(Date.now() - lastMs).replace(/\d.*/, "$& ago")}` : "no event yet",
		history && `${history.path} ${history.exists ? `${bytes(history.readBytes)} of ${bytes(history.sizeBytes)} read` : "is not there yet"}`,
		`${plural(table.shown.length, "row")} shown`,
		counters?.parseErrors && `${number(counters.parseErrors)} malformed`,
		counters?.oversizedLines && `${number(counters.oversizedLines)} too long`,
		back.missed >= 0 && `reconnected ${clock(back.at)}: ${back.isGap ? "gap reloaded" : `${number(back.missed)} replayed`}`,
	].filter(Boolean);
	if (at.status.childElementCount !== words.length) at.status.replaceChildren(...words.map(() => el("span")));
	words.forEach((text, index) => say(at.status.children[index], text));
}

async function readHealth() {
	const answer = await fetch("/healthz").catch(() => null);
	if (!answer?.ok) return;
	page.health = await answer.json();
	const { back } = page;
	if (back.at && back.missed < 0) back.missed = Math.max(0, page.health.lastEventId - back.from);
	drawEmpty();
	drawState();
}

/** @type {Item[]} */
let told = [];

/** One for all tabs. */
function notify() {
	const [{ project, text }] = told;
	const title = told.length > 1 ? `${told.length} new prompts` : namesOf([project]).get(project) || "New prompt";
	new Notification(brief(title), { body: brief(text, BODY_CHARS), tag: NAME }).onclick = () => focus();
	told = [];
}

function leave() {
	kept.claudeLiveLeft = Date.now();
}

/** Nothing is drawn for nobody; a mark says where one was. */
function looked() {
	if (document.hidden) return leave();
	if (feed.waiting) page.left = leftSince(page.left);
	page.unseen = 0;
	flush();
	stream.hurry();
}

/** What buttons (`data-do`) and keys do. @type {Record<string, () => any>} */
const ACTIONS = {
	pause() {
		page.isPaused = !page.isPaused;
		flush();
	},
	clear() {
		const isCleared = !feed.items.some((item) => item.isCleared);
		for (const item of feed.items) item.isCleared = isCleared;
		draw();
	},
	async notify() {
		const answer = !page.notifies && (await Notification.requestPermission());
		page.notifies = answer === "granted";
		say(at.notify, answer && !page.notifies ? "Notify: the browser said no" : "Notify");
		kept.claudeLiveNotifies = page.notifies;
		drawTools();
	},
	newest() {
		scrollTo(0, 0);
		page.isReading = false;
		flush();
		table.focus(0);
	},
	down: () => table.move(1),
	up: () => table.move(-1),
	search: () => at.search.focus(),
	rows: () => table.focus(0),
	everything: () => narrow(EVERYTHING),
	back: () => table.close() || narrow(EVERYTHING),
	help: () => (at.keys.open ? at.keys.close() : at.keys.showModal()),
	older,
};

const KEYS = { j: "down", k: "up", g: "newest", p: "pause", c: "clear", "/": "search", "?": "help", Escape: "back" };
const KEYS_IN = { INPUT: { Enter: "rows", ArrowDown: "rows", Escape: "back" }, SELECT: { Escape: "back" } };

function pressed(event) {
	const { key, target } = event;
	const isTaken = event.ctrlKey || event.metaKey || event.altKey || event.isComposing || at.keys.open;
	const keys = KEYS_IN[target.tagName] ?? KEYS;
	if (isTaken || !Object.hasOwn(keys, key)) return;
	event.preventDefault();
	ACTIONS[keys[key]]();
}

function edgeSeen(seen) {
	page.isReading = !seen.at(-1).isIntersecting;
	if (feed.waiting) flush();
}

/** Of the window. */
const HEARD = {
	click: ({ target }) => ACTIONS[target.closest("button")?.dataset.do]?.(),
	keydown: pressed,
	visibilitychange: looked,
	pagehide: leave,
	online: () => stream.hurry(),
	focus: () => page.state !== "live" && stream.hurry(),
	hashchange: () => narrow(fromHash(location.hash)),
};

function wire() {
	history.scrollRestoration = "manual";
	at.search.addEventListener("input", () => narrow({ q: at.search.value.trim() }));
	for (const field of ["kind", "project", "session"]) {
		at[field].addEventListener("change", () => narrow({ [field]: at[field].value }));
		at[field].addEventListener("blur", drawChoices);
	}
	for (const [name, hear] of Object.entries(HEARD)) addEventListener(name, hear);
	new IntersectionObserver(edgeSeen).observe(at.edge);
}

function tick() {
	if (document.hidden) return;
	table.tick(Date.now());
	drawShape();
	drawStatus();
}

at.notify.hidden = !globalThis.Notification;
wire();
start();
setInterval(tick, TICK_MS);
