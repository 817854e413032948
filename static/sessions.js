/**
 * The Sessions view: every session as a card, those that wait for a person first.
 * The order is held while the pointer or the focus is among the cards, so that nothing moves away.
 * Invariant: the view follows from `page` and `roster` alone; `draw` may be called at any time.
 */
import { batch } from "./batch.js";
import { Cards, tick } from "./cards.js";
import { painted, parts, setChoices, setText } from "./dom.js";
import { fromHash } from "./filter.js";
import { brief, clock, namesOf, number, plural } from "./format.js";
import { noticeKind } from "./items.js";
import { Opened } from "./opened.js";
import { Roster } from "./roster.js";
import { STATUSES, keyOf, titleOf } from "./session.js";
/** @import * as Types from "./types.js" */

const TYPES = ["session.changed", "session.removed", "transcript.append"];
const LIST = "/api/claude/sessions";
const FIELDS = { q: "", machine: "", project: "", status: "", open: "" };
const EVERYTHING = { q: "", machine: "", project: "", status: "" };
const RETRY_MS = 2_000;
const STATUS_MS = 200;
/** Cards that are drawn first. One is 26rem wide and, unless it has ended, 96 pixels high. */
const SCREENFUL = Math.ceil(innerHeight / 96) * Math.ceil(innerWidth / 416);
/** A pointer or a focus that rests so long does not hold the order. */
const REST_MS = 30_000;

const SEARCHED = "The search covers titles, projects, newest prompts, answers and open tools.";

/** @type {Types.Frame} */
let app;
/** @type {Cards} */
let cards;
/** @type {Opened} */
let opened;
const roster = new Roster();
const at = parts("sessions-");
const page = {
	filter: fromHash(location.hash, FIELDS),
	isLoaded: false,
	/** Cards that are drawn at most until `isWhole`; the others come in later tasks. */
	most: SCREENFUL,
	isWhole: false,
	showsEnded: false,
	/** Time of a pointer's or the focus's last move since `sort`. @type {number | undefined} */
	touchedMs: undefined,
	isPointed: false,
	/** Count of the cards that pass the filter, as of the last drawing. */
	shown: 0,
};

const flush = () => (app.isShown(view) ? draw() : app.drawStatus());
const flushSoon = batch(flush);
/** A status that has changed is drawn sooner than the rest. */
const flushStatus = batch(flush, undefined, undefined, STATUS_MS);
const reload = batch(() => load().then(flush, () => setTimeout(reload, RETRY_MS)));
const isFiltered = () => Object.keys(EVERYTHING).some((field) => page.filter[field]);

/** @type {Types.View} */
const view = {
	types: TYPES,
	start: load,
	onEvent,
	onHealth: drawEmpty,
	onHide: () => {},
	onReturn,
	onHashChange: () => narrow(fromHash(location.hash, FIELDS)),
	onTick,
	status,
	waiting: () => (page.isLoaded && roster.all.length ? roster.count("waiting") : undefined),
	session: (id) => roster.get(id),
	isWanted: () => roster.all.some(({ isLive }) => isLive),
	actions: {
		open: (button) => open(cards.idOf(button)),
		leave: () => (isIn(at.one) ? opened.focus() : cards.move(0)),
		first: () => (isIn(at.one) ? opened.newest() : sort()),
		ended: () => ((page.showsEnded = !page.showsEnded), draw()),
		sort,
		down: () => move(1),
		up: () => move(-1),
		search: () => at.search.focus(),
		find: () => at.find.focus(),
		everything: () => narrow(EVERYTHING),
		back,
		close,
		copy: (button) => opened.copy(button),
		further: () => opened.further(),
		newest: () => opened.newest(),
	},
	keys: { j: "down", k: "up", g: "first", f: "find", "/": "search", Escape: "back" },
	fieldKeys: {
		INPUT: { Enter: "leave", ArrowDown: "leave", Escape: "back" },
		SELECT: { Escape: "back" },
	},
};

/** @type {(frame: Types.Frame) => Types.View} */
export function sessionsView(frame) {
	app = frame;
	cards = new Cards(at.list, app.colors);
	opened = new Opened(app);
	at.search.addEventListener("input", () => narrow({ q: at.search.value.trim() }));
	for (const field of ["machine", "project", "status"]) {
		at[field].addEventListener("change", () => narrow({ [field]: at[field].value }));
		at[field].addEventListener("blur", drawChoices);
	}
	at.list.addEventListener("click", ({ target }) => onClick(target));
	at.list.addEventListener("pointermove", () => touch(true));
	at.list.addEventListener("pointerleave", release);
	at.list.addEventListener("focusin", () => touch());
	at.list.addEventListener("focusout", ({ relatedTarget }) => {
		// Not at once: a redraw that removes the card with the focus is the cause, too.
		if (!at.list.contains(relatedTarget)) setTimeout(flushSoon);
	});
	return view;
}

function touch(isPointed = page.isPointed) {
	page.touchedMs = Date.now();
	page.isPointed = isPointed;
}

function release() {
	page.isPointed = false;
	flushSoon();
}

function isHeld() {
	if (page.touchedMs === undefined || Date.now() - page.touchedMs >= REST_MS) return false;
	return page.isPointed || at.list.querySelector(":focus-visible");
}

async function load() {
	const answer = await app.get(LIST);
	roster.load(answer, Date.now());
	page.isLoaded = true;
	if (progress()) setTimeout(reload, RETRY_MS);
	return answer.lastEventId;
}

/** Returns how far transcripts are read, unless all are. */
function progress() {
	const { reading } = roster;
	return typeof reading === "object" && reading.done < reading.files ? reading : undefined;
}

/** @param {Types.LiveEvent} event */
function onEvent(event) {
	if (noticeKind(event)?.startsWith("machine.")) reload();
	if (noticeKind(event) === "stream.resync") {
		roster.renumber(event.id);
		reload();
		opened.reload();
	}
	if (event.type === "transcript.append") opened.onRecord(event);
	if (!event.type.startsWith("session.")) return;
	const change = roster.accept(event, Date.now());
	if (change) onChange(change.before, change.after);
	const isOpen = keyOf(event.data) === page.filter.open;
	if (isOpen && event.data.reason === "deleted") opened.onDeleted();
}

/** @param {Types.Session} [before] @param {Types.Session} [after] */
function onChange(before, after) {
	app.onSession(before, after);
	if (before?.status === after?.status) flushSoon();
	else flushStatus();
}

async function onReturn() {
	narrow(app.shared);
	if (!page.isLoaded) return;
	await painted();
	drawRest();
}

/** Draws the cards below the first ones, a screenful in a task. */
async function drawRest() {
	while (!page.isWhole && page.most < roster.all.length) {
		page.most += SCREENFUL;
		flush();
		await painted();
	}
	page.isWhole = true;
}

function onTick(now) {
	tick(at.view, now);
	if (roster.misplaced.length && !isHeld()) draw();
}

/** The whole card opens its session, unless its text is being selected. */
function onClick(target) {
	const id = cards.idOf(target);
	if (id && !target.closest("button") && !String(getSelection())) open(id);
}

function open(id) {
	app.step();
	narrow({ open: page.filter.open === id ? "" : id });
	if (!page.filter.open) return;
	at.flow.focus({ preventScroll: true });
	at.one.scrollIntoView();
}

function close() {
	const id = page.filter.open;
	app.step();
	narrow({ open: "" });
	cards.focus(id);
}

const isIn = (pane) => pane.contains(document.activeElement);

function move(by) {
	if (isIn(at.one)) opened.move(by);
	else cards.move(by);
}

/** Takes back one step: a record, the search in the session, the session, the filter. */
function back() {
	if (isIn(at.one) && (opened.closeRow() || opened.clearFind())) return;
	if (page.filter.open) close();
	else narrow(EVERYTHING);
}

/** Puts the sessions in order at once, and shows the first one. */
function sort() {
	page.touchedMs = undefined;
	draw();
	at.list.scrollTo(0, 0);
	at.list.firstElementChild?.scrollIntoView({ block: "nearest" });
}

function narrow(change) {
	page.filter = { ...page.filter, ...change };
	app.address(page.filter);
	draw();
}

function draw() {
	const { filter, showsEnded } = page;
	const names = namesOf(new Set(roster.all.map(({ project = "" }) => project)));
	const groups = roster.groups(filter, isHeld());
	const isSearched = isFiltered();
	const context = { names, open: filter.open, showsEnded: showsEnded || isSearched };
	const shown = groups.flatMap(({ sessions }) => sessions);
	const coloured = shown.flatMap(({ machine, project }) => [machine ?? "", project ?? ""]);
	app.colors.assign([...new Set(coloured)].filter(Boolean));
	const most = page.isWhole ? roster.all.length : page.most;
	cards.show(groups, Date.now(), context, most);
	opened.show(filter.open, roster.get(filter.open));
	page.shown = shown.length;
	drawTools(names);
	drawEmpty();
	app.drawStatus();
}

function drawTools(names) {
	if (at.search.value.trim() !== page.filter.q) at.search.value = page.filter.q;
	drawChoices(names);
	const hidden = roster.all.length - page.shown;
	setText(at.hidden, `${hidden ? `${number(hidden)} hidden: ` : ""}show all`);
	at.hidden.hidden = !isFiltered();
	const [first, ...rest] = roster.misplaced;
	at.sort.hidden = !first;
	if (first) {
		const more = rest.length ? ` and ${number(rest.length)} more wait` : " waits";
		setText(at.sort, `${brief(titleOf(first))}${more} for you`);
	}
}

function drawChoices(names = new Map()) {
	const projects = roster.all.map(({ project }) => project).filter(Boolean);
	at.machine.hidden = !roster.machines.length;
	drawSelect("machine", roster.machines.map(({ name }) => name), brief);
	drawSelect("project", projects.sort(), (path) => brief(names.get(path) ?? path));
	drawSelect("status", STATUSES, (status) => status);
}

function drawSelect(field, found, nameOf) {
	const chosen = page.filter[field];
	const values = ["", ...new Set([...found, chosen].filter(Boolean))];
	const labelOf = (value) => (value ? nameOf(value) : `All ${LABELS[field]}`);
	setChoices(at[field], values, labelOf, chosen);
}

const LABELS = { machine: "machines", project: "projects", status: "states" };

function drawEmpty() {
	const words = readingWords() || silenceWords();
	setText(at.reading, words);
	at.reading.hidden = !words;
	at.empty.hidden = !page.isLoaded || page.shown > 0;
	emptyWords(app.health).forEach((words, index) => setText(at.empty.children[index], words));
}

function readingWords() {
	const reading = progress();
	if (!reading) return "";
	const { done, files } = reading;
	return `Reading transcripts: ${number(done)} of ${number(files)} files`;
}

function silenceWords() {
	const silent = roster.machines.filter(({ isSilent }) => isSilent);
	const words = ({ heardAt }) =>
		heardAt ? `has been silent since ${clock(Date.parse(heardAt))}` : "has never reported";
	return silent.map((machine) => `${brief(machine.name)} ${words(machine)}`).join(" · ");
}

/** @param {Types.Health} health */
function emptyWords({ claudeDir = "~/.claude", transcripts, fleet: { machines } = {} }) {
	const { hot = 0, warm = 0, cold = 0 } = transcripts?.files ?? {};
	const advice = "Start Claude Code in a project, or try claude-live --demo.";
	if (roster.reading === "off" && !machines)
		return ["Transcripts are switched off", "Start claude-live without --no-transcripts."];
	if (isFiltered() && roster.all.length) return ["Nothing matches", page.filter.q && SEARCHED];
	if (progress()) return ["No session yet", "The newest transcripts are read first."];
	if (hot + warm + cold > 0 || machines) return ["No session in the last 24 hours", advice];
	return [`No transcript in ${claudeDir}/projects yet`, advice];
}

function status() {
	const count = (name) => {
		const sessions = roster.count(name);
		return sessions > 0 && `${number(sessions)} ${name}`;
	};
	const { hot, open: followed } = app.health.transcripts?.files ?? {};
	return [
		plural(roster.all.length, "session"),
		...STATUSES.slice(0, 3).map(count),
		hot !== undefined && `${plural(followed, "transcript")} followed`,
	];
}
