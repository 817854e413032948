/**
 * The Live view: events as they happen, the newest on top.
 * New ones wait while the view is paused, scrolled down or hidden.
 * Invariant: the view follows from `page` and `feed` alone; `draw` may be called at any time.
 */
import { batch } from "./batch.js";
import { Chart } from "./chart.js";
import { painted, parts, setAttr, setChoices, setText } from "./dom.js";
import { Feed, HELD } from "./feed.js";
import { EVERYTHING, fromHash, matcher, toHash, wantedWords } from "./filter.js";
import { ago, brief, cannotRead, inflect, namesOf, number, plural, shortId } from "./format.js";
import { KINDS, isHistory, isTyped, isWork, noticeKind } from "./items.js";
import { MOST_OLDER } from "./older.js";
import { Table } from "./render.js";
import { keyOf } from "./session.js";
import { MINUTE_MS, hour, today } from "./tally.js";
/** @import * as Types from "./types.js" */

const TYPES = ["history.append", "file.changed", "transcript.append"];
const BACKLOG = "/api/claude/live/backlog";
/** Events of the first request, which the head of `/` announces. */
const FIRST = 200;
/** Rows at most, and rows more with each click on "Older events". */
const ROWS = 500;
/** Rows that are drawn first. A row has at least 30 pixels. */
const SCREENFUL = Math.ceil(innerHeight / 30);
/** Requests of one click, while they find too few matches. */
const MOST_REQUESTS = 10;
const RETRY_MS = 2_000;
/** Shorter absences do not count. */
const AWAY_MS = 60_000;

/** @type {Types.Frame} */
let app;
/** @type {Table} */
let table;
/** @type {Chart} */
let chart;
const feed = new Feed();
const at = parts("live-", "claude-live-");
const page = {
	filter: fromHash(location.hash),
	isLoaded: false,
	/** The first rows are painted. */
	isPainted: false,
	isPaused: false,
	showsAgents: false,
	/** The newest row is out of sight. */
	isScrolledDown: false,
	/** Lines read from the file are shown. */
	showsOlder: false,
	rows: ROWS,
	/** @type {"idle" | "reading" | "failed"} */
	olderState: "idle",
	/** @type {Promise<number> | undefined} */
	olderRequest: undefined,
	/** Counts of the rows that pass the filter, and that do not, as of the last drawing. */
	matching: 0,
	hidden: 0,
	/** @type {number | undefined} Time of the last event. */
	lastMs: undefined,
	/** @type {number | undefined} End of the last visit. */
	leftMs: undefined,
};

const flushSoon = batch(flush);
const reload = batch(() => load(reach()).then(show, () => setTimeout(reload, RETRY_MS)));
const isFiltered = () => toHash(page.filter) !== "";

/** Returns the filter of rows. The status of a row is that of its session. */
function isWanted() {
	const { status, ...fields } = page.filter;
	const isMatch = matcher(fields);
	const statusOf = (item) => app.statusOf(keyOf({ ...item, sessionId: item.session }));
	return (item) => isMatch(item) && (!status || statusOf(item) === status);
}

/** @type {(frame: Types.Frame) => Types.View} */
export function liveView(frame) {
	app = frame;
	page.leftMs = lastVisitMs();
	page.showsOlder = isFiltered();
	page.showsAgents = app.storage.claudeLiveAgents === "true";
	table = new Table(at.table.tBodies[0], app.colors, toggleField);
	chart = new Chart(at.chart, goTo);
	history.scrollRestoration = "manual";
	at.search.addEventListener("input", () => narrow({ q: at.search.value.trim() }));
	for (const field of ["kind", "machine", "project", "status", "session"]) {
		at[field].addEventListener("change", () => narrow({ [field]: at[field].value }));
		at[field].addEventListener("blur", drawChoices);
	}
	new IntersectionObserver(onScroll).observe(at.edge);
	return view;
}

/** @type {Types.View} */
const view = {
	types: TYPES,
	start: () => load(FIRST),
	onEvent,
	onHealth: drawEmpty,
	onHide,
	onReturn,
	onHashChange,
	onTick,
	status,
	actions: {
		pause,
		clear,
		agents,
		newest,
		older,
		down: () => table.move(1),
		up: () => table.move(-1),
		search: () => at.search.focus(),
		rows: () => table.focus(0),
		everything: () => narrow(EVERYTHING),
		back: () => table.close() || narrow(EVERYTHING),
	},
	keys: {
		j: "down",
		k: "up",
		g: "newest",
		p: "pause",
		c: "clear",
		"/": "search",
		Escape: "back",
	},
	fieldKeys: {
		INPUT: { Enter: "rows", ArrowDown: "rows", Escape: "back" },
		SELECT: { Escape: "back" },
	},
};

/** @param {Types.LiveEvent} event */
function onEvent(event) {
	if (event.type === "transcript.append" && !(page.showsAgents && isWork(event))) return;
	const notice = noticeKind(event);
	if (notice === "stream.resync" || notice === "history.reset") reload();
	const fresh = feed.accept(event, Date.now());
	if (!fresh) return;
	page.lastMs = Date.now();
	if (app.wantsNotifications && !document.hasFocus()) notifyOf(fresh);
	flushSoon();
}

function notifyOf(item) {
	if (!isTyped(item) || !isWanted()(item)) return;
	app.notify(namesOf([item.project]).get(item.project) || "New prompt", item.text);
}

function flush() {
	if (!page.isLoaded || !app.isShown(view)) return app.drawStatus();
	if (!page.isPaused && !page.isScrolledDown) feed.settle();
	draw();
	app.askHealth();
}

function onHide() {
	app.storage.claudeLiveLeft = Date.now();
}

function onReturn() {
	if (feed.waiting) page.leftMs = lastVisitMs();
	const isOther = ([field, value]) => page.filter[field] !== value;
	if (Object.entries(app.shared).some(isOther)) narrow(app.shared);
	else app.address(page.filter);
	return show();
}

/** Paints a screenful of rows before anything else. */
async function show() {
	if (page.isLoaded && !page.isPainted && app.isShown(view)) {
		drawRows();
		drawTools();
		await painted();
		page.isPainted = true;
	}
	flush();
	readAhead();
}

function onHashChange() {
	narrow(fromHash(location.hash));
}

function onTick(now) {
	table.tick(now);
	drawShape();
}

/** @param {IntersectionObserverEntry[]} seen  of the edge above the rows */
function onScroll(seen) {
	page.isScrolledDown = !seen.at(-1)?.isIntersecting;
	if (feed.waiting) flush();
}

function lastVisitMs() {
	const left = Number(app.storage.claudeLiveLeft ?? 0);
	return Date.now() - left < AWAY_MS ? page.leftMs : left || undefined;
}

/** While paused, more can wait than is shown; only a whole backlog shows which lines are gone. */
function reach() {
	return page.isPaused ? HELD : Math.max(FIRST, feed.items.filter(isHistory).length);
}

async function load(limit) {
	const answer = await app.get(`${BACKLOG}?limit=${limit}`);
	feed.load(answer, Date.now(), page.isPaused);
	page.lastMs ??= lastTimeOf(feed.items, Date.now());
	page.isLoaded = true;
	return answer.lastEventId;
}

/** A line without a time has that of its reading; other clocks can be ahead. */
function lastTimeOf(items, now) {
	const isTimed = ({ ms, event }) => event.data?.json?.timestamp && ms <= now;
	const times = items.filter(isTimed).map(({ ms }) => ms);
	return times.length ? Math.max(...times) : items[0]?.ms;
}

/** A search looks at a thousand lines unasked, and the totals need the whole day. */
async function readAhead() {
	const isWanted = isFiltered() || today(feed.items, Date.now()).isPartial;
	if (!page.isPainted || !isWanted || feed.lineCount >= HELD) return;
	page.olderState = await readOlder(HELD).then(() => "idle", () => "failed");
	draw();
}

/** Makes one request at a time, since each begins where the last one ended. */
function readOlder(limit) {
	page.olderRequest ??= requestOlder(limit).finally(() => (page.olderRequest = undefined));
	return page.olderRequest;
}

async function requestOlder(limit) {
	// A reset meanwhile replaces `older`, and the answer goes with the old one.
	const { older, before } = feed;
	if (before === undefined) return 0;
	const answer = await app.get(`${BACKLOG}?limit=${limit}&before=${before}`);
	return older.add(answer, Date.now(), isWanted());
}

async function older() {
	if (page.olderState === "reading") return;
	const { length } = table.shown;
	page.showsOlder = true;
	page.rows = Math.max(ROWS, length + ROWS);
	page.olderState = "reading";
	draw();
	page.olderState = await readRows(page.rows - page.matching).then(() => "idle", () => "failed");
	draw();
}

async function readRows(missing) {
	const limit = isFiltered() ? HELD : missing;
	for (let count = 0; count < MOST_REQUESTS && missing > 0; count += 1) {
		if (feed.before === undefined) return;
		missing -= await readOlder(limit);
	}
}

function goTo({ ms }) {
	const isReached = (item) => item.ms < ms + MINUTE_MS;
	if (!table.shown.some(isReached)) {
		page.showsOlder = true;
		page.rows = HELD + MOST_OLDER;
		draw();
	}
	table.focus(table.shown.findIndex(isReached));
}

function newest() {
	if (feed.older.hasGap) forgetOlder();
	scrollTo(0, 0);
	page.isScrolledDown = false;
	flush();
	table.focus(0);
}

function forgetOlder() {
	feed.forgetOlder();
	page.showsOlder = isFiltered();
	page.rows = ROWS;
}

function toggleField(field, value) {
	narrow({ [field]: page.filter[field] === value ? "" : value });
}

function narrow(change) {
	page.filter = { ...page.filter, ...change };
	app.address(page.filter);
	// Lines that were let go could match now.
	if (feed.older.letGo) forgetOlder();
	// The rows around a match stay when the search ends.
	page.showsOlder ||= isFiltered();
	draw();
	readAhead();
}

function pause() {
	page.isPaused = !page.isPaused;
	flush();
}

function agents() {
	page.showsAgents = !page.showsAgents;
	app.storage.claudeLiveAgents = page.showsAgents;
	flush();
}

function clear() {
	const isCleared = !isAnyCleared();
	for (const item of held()) item.isCleared = isCleared;
	draw();
}

const isAnyCleared = () => held().some((item) => item.isCleared);

/** Returns the items to show. Past the bound, older rows are shown alone. */
function held() {
	const { older } = feed;
	const items = feed.items.filter(({ kind }) => kind !== "agent" || page.showsAgents);
	if (!page.showsOlder) return items;
	return older.hasGap ? older.items : items.concat(older.items);
}

const all = () => [...feed.pending, ...feed.items, ...feed.older.items];

function draw() {
	drawRows();
	drawEnd();
	drawTools();
	drawShape();
	drawChoices();
	drawEmpty();
	app.drawStatus();
}

function drawRows() {
	const now = Date.now();
	const visible = held().filter(({ isCleared }) => !isCleared);
	const wanted = visible.filter(isWanted());
	const shown = wanted.slice(0, page.isPainted ? page.rows : SCREENFUL);
	app.colors.assign(namesOn(shown, now));
	const names = namesOf(new Set(visible.map(({ project }) => project)));
	const words = wantedWords(page.filter);
	table.show(shown, now, { names, words, leftMs: page.leftMs });
	page.matching = wanted.length;
	page.hidden = visible.length - wanted.length;
}

function namesOn(rows, now) {
	const ofRows = rows.flatMap(({ machine, session, project }) => [machine, session, project]);
	const minutes = hour(all(), now).reverse();
	const ofChart = minutes.flatMap(({ parts }) => parts.map(([project]) => project));
	return [...new Set([...ofRows, ...ofChart])].filter(Boolean);
}

function drawEnd() {
	const isOlderHidden = !page.showsOlder && feed.older.items.length > 0;
	const hasMore = page.matching > table.shown.length || isOlderHidden;
	at.older.hidden = !page.isPainted || (!hasMore && feed.before === undefined);
	const label = isFiltered() && !hasMore ? "Search further" : "Older events";
	setText(at.older, page.olderState === "reading" ? "Reading…" : label);
	setText(at.end, endNote());
}

function endNote() {
	const { before, lineCount, older } = feed;
	const lines = plural(lineCount, "line");
	if (page.olderState === "failed") return "The server did not answer. Try again.";
	if (isFiltered() && before !== undefined) return `Searched the newest ${lines}.`;
	if (older.hasGap) return `The page holds ${number(MOST_OLDER)} older lines at a time.`;
	if (lineCount <= HELD || !at.older.hidden) return "";
	return isFiltered() ? `Searched all ${lines}.` : "The history begins here.";
}

function drawTools() {
	const { waiting, older } = feed;
	if (at.search.value.trim() !== page.filter.q) at.search.value = page.filter.q;
	const waits = waiting ? ` · ${number(waiting)} new` : "";
	setText(at.pause, page.isPaused ? `Resume${waits}` : "Pause");
	setAttr(at.pause, "aria-pressed", String(page.isPaused));
	setAttr(at.agents, "aria-pressed", String(page.showsAgents));
	setText(at.clear, isAnyCleared() ? "Show again" : "Clear");
	setText(at.new, older.hasGap ? "Back to the newest" : `${number(waiting)} new`);
	setAttr(at.new, "data-gap", older.hasGap);
	at.new.hidden = !older.hasGap && (page.isPaused || !page.isScrolledDown || !waiting);
	setText(at.hidden, `${page.hidden ? `${number(page.hidden)} hidden: ` : ""}show all`);
	at.hidden.hidden = !isFiltered();
}

function drawShape() {
	const now = Date.now();
	const { isPartial, ...totals } = today(all(), now);
	const isMore = (isPartial && feed.before !== undefined) || feed.older.letGo > 0;
	for (const [name, count] of Object.entries(totals)) {
		setText(at[name], number(count) + (isMore ? "+" : ""));
		setText(at[name].previousElementSibling, `${inflect(count, name.slice(0, -1))} today`);
	}
	chart.draw(hour(all(), now), app.colors);
}

function drawChoices() {
	drawSelect("kind", (kind) => KINDS[kind]?.[1] ?? kind);
	drawSelect("machine", brief);
	at.machine.hidden = at.machine.options.length < 2;
	drawSelect("project", (path, names) => brief(names.get(path)));
	drawSelect("session", (session) => brief(shortId(session)));
	const { status } = page.filter;
	at.status.hidden = !status && !app.isSessionKnown;
	at.status.value = status;
	setAttr(at.status, "data-chosen", status !== "");
}

function drawSelect(field, nameOf) {
	const chosen = page.filter[field];
	const found = [...held().map((item) => item[field]), chosen].filter(Boolean);
	const values = ["", ...new Set(found)];
	/** @type {Map<string, string> | undefined} */
	let names;
	const nameFor = (value) => nameOf(value, (names ??= namesOf(values)));
	const labelOf = (value) => (value ? nameFor(value) : `All ${field}s`);
	setChoices(at[field], values, labelOf, chosen);
}

function drawEmpty() {
	at.empty.hidden = !page.isPainted || table.shown.length > 0;
	emptyWords(app.health).forEach((text, index) => setText(at.empty.children[index], text));
}

/** @param {Types.Health} health */
function emptyWords({ history, errors = [] }) {
	const broken = errors.find(({ path }) => path === history?.path);
	const isCleared = feed.items.length > 0 && feed.items.every((item) => item.isCleared);
	if (isCleared) return ["Cleared", "“Show again” brings the rows back."];
	if (isFiltered()) return ["Nothing matches", ""];
	if (broken) return [cannotRead(broken), "Its prompts appear once it can be read."];
	const title = `Waiting for ${history?.exists === false ? history.path : "the first prompt"}`;
	return [title, "Type a prompt in Claude Code, or try claude-live --demo."];
}

function status(now) {
	const last = page.lastMs !== undefined && ago(now - page.lastMs).replace(/\d.*/, "$& ago");
	const rows = plural(table.shown.length, "row");
	return [last ? `last event ${last}` : "no event yet", `${rows} shown`];
}
