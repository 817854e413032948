/**
 * The Usage view: tokens and cost of the last days, by day, project, model and session.
 * The sums are read again while agents work; folding them is the work of `sums.js`.
 * Invariant: the view follows from `page` alone; `draw` may be called at any time.
 */
import { batch } from "./batch.js";
import { Days } from "./days.js";
import { el, parts, setAttr, setChoices, setText } from "./dom.js";
import { fromHash, lowercase, matcher, toHash } from "./filter.js";
import { brief, clock, dayName, inflect, namesOf, number, plural, usd } from "./format.js";
import { noticeKind } from "./items.js";
import { modelName, short, titleOf } from "./session.js";
import { OTHER, dayOf, daysTo, groupsOf, stack, sumOf, zone } from "./sums.js";
import { SumTable, costOf } from "./sumtable.js";
/** @import * as Types from "./types.js" */

const PATH = "/api/claude/usage";
const TYPES = ["session.changed", "session.removed", "transcript.append"];
/** `status` is that of the other views; it is kept for them. */
const FIELDS = { q: "", project: "", status: "", day: "" };
const EVERYTHING = { q: "", project: "", day: "" };
/** Days of the figures. A longer range is one more. */
const FIGURES = [1, 7, 30];
const CHOICE = { days: "30", by: "model", measure: "cost" };
const RETRY_MS = 2_000;
/** While transcripts are read. */
const READING_MS = 500;
/** The server may count a record so long after its event. */
const COUNTED_MS = 1_000;
/** Of a project's path. */
const PATH_CHARS = 1_000;
const MOST_TITLES = 1_000;

/** @type {Types.Frame} */
let app;
/** @type {Days} */
let chart;
/** @type {Record<string, SumTable>} */
let tables;
const at = parts("usage-");
const page = {
	filter: fromHash(location.hash, FIELDS),
	/** @type {typeof CHOICE} Remembered by the browser. */
	choice: CHOICE,
	/** @type {Types.Usage | undefined} */
	usage: undefined,
	/** Off: the server reads no transcripts. @type {"loading" | "loaded" | "failed" | "off"} */
	state: "loading",
	/** Time of the last event that changes the sums. */
	newsMs: 0,
	/** Time of the last answer, and the day in which it came. @type {number | undefined} */
	loadedMs: undefined,
	/** @type {string | undefined} */
	day: undefined,
	/** As of the last drawing: count of the rows behind the tables, and the figures. */
	shown: 0,
	figures: "",
	/** @type {Map<string, string>} Names of projects. */
	names: new Map(),
	/** Older sessions were requested, for their titles. */
	hasOlder: false,
	/** @type {Map<string, Types.Session>} */
	older: new Map(),
};

const reload = batch(load);
const isFiltered = () => Object.keys(EVERYTHING).some((field) => page.filter[field]);
const today = (now = Date.now()) => dayOf(now, new Date(now).getTimezoneOffset());

/** @type {Types.View} */
const view = {
	types: TYPES,
	// The sums are requested when the view is shown.
	start: async () => undefined,
	onEvent,
	onHealth: drawState,
	onHide: () => {},
	onReturn,
	onHashChange: () => narrow(fromHash(location.hash, FIELDS)),
	onTick: (now) => page.usage && page.day !== today(now) && reload(),
	status,
	actions: {
		choose,
		day: ({ dataset }) => toggle("day", dataset.day),
		project: ({ dataset }) => toggle("project", dataset.project),
		titles,
		down: () => move(1),
		up: () => move(-1),
		search: () => at.search.focus(),
		leave: () => move(0),
		everything: () => narrow(EVERYTHING),
		back: () => narrow(page.filter.day ? { day: "" } : EVERYTHING),
	},
	keys: { j: "down", k: "up", "/": "search", Escape: "back" },
	fieldKeys: {
		INPUT: { Enter: "leave", ArrowDown: "leave", Escape: "back" },
		SELECT: { Escape: "back" },
	},
};

/** @type {(frame: Types.Frame) => Types.View} */
export function usageView(frame) {
	app = frame;
	page.choice = remembered();
	chart = new Days(at);
	tables = {
		projects: new SumTable(at.projects, [PROJECT_COLUMN], [], {
			nameOf: ({ name }) => projectNode(name),
			colorOf: ({ name }) => colorOf(name),
		}),
		models: new SumTable(at.models, [MODEL_COLUMN], [], {
			nameOf: ({ name }) => el("span", { dir: "auto" }, modelOf(name)),
			colorOf: ({ name }) => colorOf(name),
		}),
		sessions: new SumTable(at.sessions, SESSION_COLUMNS, SESSION_COSTS, {
			nameOf: ({ name }) => sessionNode(name),
			colorOf: ({ last }) => colorOf(last.project),
		}),
	};
	at.search.addEventListener("input", () => narrow({ q: at.search.value.trim() }));
	at.project.addEventListener("change", () => narrow({ project: at.project.value }));
	at.project.addEventListener("blur", drawChoices);
	return view;
}

const NAME = { key: "name", isText: true };
const PROJECT_COLUMN = { ...NAME, label: "Project", of: ({ name }) => projectOf(name) };
const MODEL_COLUMN = { ...NAME, label: "Model", of: ({ name }) => modelOf(name) };
const projectText = ({ last }) => projectOf(last.project);
const lastDay = ({ last }) => dayName(last.day, "date");
const SESSION_COLUMNS = [
	{ ...NAME, label: "Session", of: ({ name }) => sessionTitle(name) },
	{ ...NAME, key: "project", label: "Project", of: projectText, text: projectText, isMore: true },
	{ key: "last", label: "Last day", of: ({ last }) => last.day, text: lastDay },
];
/** After the figures. */
const SESSION_COSTS = [
	costColumn("agents", "Subagents", ({ agents }) => agents),
	costColumn("reported", "By Claude Code", ({ last }) => last.reportedCostUsd),
];

function costColumn(key, label, of) {
	const text = (group) => (of(group) === undefined ? "" : usd(of(group)));
	return { key, label, of, text, isMore: true, isRare: true };
}

function remembered() {
	try {
		const choice = { ...CHOICE, ...JSON.parse(app.storage.claudeLiveUsage) };
		const isOffered = ([field, value]) => at.view.querySelector(`[data-${field}="${value}"]`);
		return Object.entries(choice).every(isOffered) ? choice : CHOICE;
	} catch {
		return CHOICE;
	}
}

function choose({ dataset: { do: _, ...choice } }) {
	page.choice = { ...page.choice, ...choice };
	app.storage.claudeLiveUsage = JSON.stringify(page.choice);
	// A longer range is not known yet.
	if (choice.days) reload();
	draw();
}

async function load() {
	if (!app.isShown(view)) return;
	const now = Date.now();
	const offset = zone(new Date(now).getTimezoneOffset());
	const days = Math.max(...FIGURES, Number(page.choice.days));
	const query = `days=${days}&tz=${encodeURIComponent(offset)}&by=day,project,model,session`;
	try {
		page.usage = await app.get(`${PATH}?${query}`);
		Object.assign(page, { state: "loaded", loadedMs: now, day: today(now) });
		if (page.usage?.partial) setTimeout(reload, READING_MS);
		else if (now < page.newsMs + COUNTED_MS) setTimeout(reload, COUNTED_MS);
	} catch (error) {
		page.state = /** @type {any} */ (error).status === 404 ? "off" : "failed";
		if (page.state === "failed") setTimeout(reload, RETRY_MS);
	}
	draw();
}

/** @param {Types.LiveEvent} event */
function onEvent(event) {
	const isNews = TYPES.includes(event.type) || noticeKind(event) === "stream.resync";
	if (!isNews || !app.isShown(view)) return;
	page.newsMs = Date.now();
	reload();
}

function onReturn() {
	narrow(app.shared);
	reload();
}

function toggle(field, value) {
	narrow({ [field]: page.filter[field] === value ? "" : value });
}

function narrow(change) {
	page.filter = { ...page.filter, ...change };
	app.address(page.filter);
	draw();
}

/** Moves the focus among the sessions. */
function move(by) {
	const links = [...at.sessions.querySelectorAll("a")];
	const index = links.indexOf(document.activeElement);
	links[Math.max(0, Math.min(links.length - 1, index < 0 ? 0 : index + by))]?.focus();
}

/** Makes the server read the sessions of more than a day ago, which it does when asked. */
async function titles() {
	page.hasOlder = true;
	const hours = 24 * (Number(page.choice.days) + 1);
	const path = `/api/claude/sessions?hours=${hours}&limit=${MOST_TITLES}`;
	const { reading, sessions = [] } = await app.get(path).catch(() => ({}));
	for (const session of sessions) page.older.set(session.sessionId, session);
	draw();
	if (reading && reading.done < reading.files) setTimeout(titles, READING_MS);
}

const sessionOf = (id) => app.session(id) ?? page.older.get(id);
const sessionTitle = (id) => titleOf(sessionOf(id) ?? /** @type {any} */ ({ sessionId: id }));
const projectOf = (path = "") => brief(page.names.get(path) || path) || "no project";
const modelOf = (model = "") => modelName(model) || "unknown";
const colorOf = (name) => (name && name !== OTHER ? app.colors.of(name) : {});

function sessionNode(id) {
	if (!id) return el("span", {}, "no session");
	const props = { class: "link", dir: "auto", href: toHash({ open: id }, "sessions") };
	return el("a", props, sessionTitle(id));
}

function projectNode(path) {
	if (!path) return el("span", {}, projectOf());
	const title = brief(path, PATH_CHARS);
	const props = { class: "pick", dir: "auto", "data-do": "project", "data-project": path, title };
	return el("button", props, projectOf(path));
}

/** Returns the text of a row that a search looks at, in lower case. */
function haystack({ sessionId, project, model }) {
	const known = sessionOf(sessionId);
	const texts = [known?.title, known?.prompt, sessionId, project, model];
	return lowercase(texts.filter(Boolean).join("\n"));
}

function draw() {
	if (!app.isShown(view)) return;
	page.names = namesOf(new Set(page.usage?.rows.map(({ project = "" }) => project)));
	drawTools();
	drawSums(page.usage?.rows ?? []);
	drawState();
	app.drawStatus();
}

function drawTools() {
	if (at.search.value.trim() !== page.filter.q) at.search.value = page.filter.q;
	for (const button of at.view.querySelectorAll("[data-do=choose]")) {
		const { do: _, ...choice } = button.dataset;
		const [[field, value]] = Object.entries(choice);
		setAttr(button, "aria-pressed", String(page.choice[field] === value));
	}
	at.hidden.hidden = !isFiltered();
	drawChoices();
}

function drawChoices() {
	const chosen = page.filter.project;
	const values = ["", ...new Set([...page.names.keys(), chosen].sort().filter(Boolean))];
	const labelOf = (path) => (path ? projectOf(path) : "All projects");
	setChoices(at.project, values, labelOf, chosen);
}

/** @param {Types.UsageRow[]} all */
function drawSums(all) {
	const { q, project, day } = page.filter;
	const rows = all.filter(matcher({ q, project }, haystack));
	const days = Number(page.choice.days);
	const range = daysTo(page.day ?? today(), days);
	const inRange = rows.filter((row) => row.day >= range[0]);
	const chosen = range.includes(day) ? day : "";
	drawFigures(rows, days);
	drawChart(inRange, range, chosen);
	const shown = chosen ? inRange.filter((row) => row.day === chosen) : inRange;
	const measure = /** @type {Types.Measure} */ (page.choice.measure);
	tables.projects.show(groupsOf(shown, "project"), measure);
	tables.models.show(groupsOf(shown, "model"), measure);
	const sessions = groupsOf(shown, "sessionId");
	tables.sessions.show(sessions, measure);
	page.shown = shown.length;
	at.titles.hidden = page.hasOlder || sessions.every(({ name }) => sessionOf(name));
}

/** @param {Types.UsageRow[]} rows */
function drawFigures(rows, days) {
	const counts = [...new Set([...FIGURES, days])].sort((a, b) => a - b);
	const figures = counts.map((count) => {
		const [first] = daysTo(page.day ?? today(), count);
		const sum = sumOf(rows.filter((row) => row.day >= first));
		const label = count === 1 ? "today" : `${count} days`;
		const { tokens, responses } = sum;
		const counted = `${short(responses)} ${inflect(responses, "response")}`;
		return [label, costOf(sum), `${short(tokens)} tokens`, counted];
	});
	if (String(figures) === page.figures) return;
	page.figures = String(figures);
	const nodes = figures.map(([label, ...words]) => {
		return el("div", {}, el("dt", {}, label), words.map((word) => el("dd", {}, word)));
	});
	at.figures.replaceChildren(...nodes);
}

function drawChart(rows, range, chosen) {
	const { by, measure } = /** @type {any} */ (page.choice);
	const columns = stack(rows, range, by, measure);
	const named = columns.names.filter((name) => name && name !== OTHER);
	app.colors.assign(named);
	const labels = { model: modelOf, project: projectOf };
	const caption = `${measure === "cost" ? "Cost" : "Tokens"} by day`;
	setText(at.heading, caption);
	chart.draw(columns, {
		caption: `${caption} and ${by}`,
		chosen,
		format: measure === "cost" ? usd : short,
		labelOf: (name) => (name === OTHER ? "other" : labels[by](name)),
		colorOf,
	});
}

function drawState() {
	const { usage } = page;
	const { files = 0, done = 0 } = usage?.reading ?? {};
	at.progress.hidden = !usage?.partial;
	Object.assign(at.progress, { max: Math.max(files, 1), value: done });
	const notes = stateWords();
	setText(at.note, notes.join("\n"));
	at.note.hidden = !notes.length;
	const words = emptyWords();
	at.empty.hidden = !words;
	at.body.hidden = Boolean(words) || !usage;
	words?.forEach((text, index) => setText(at.empty.children[index], text));
}

function stateWords() {
	const { usage, state, loadedMs } = page;
	if (!usage) return [];
	const { reading, partial, unpriced } = usage;
	const notes = [];
	if (state === "failed") {
		notes.push(`No answer from the server. The figures are those of ${clock(loadedMs)}.`);
	}
	if (partial) {
		const read = `${number(reading.done)} of ${number(reading.files)} files`;
		notes.push(`Reading transcripts: ${read}. The figures are not complete yet.`);
	}
	if (unpriced.length) {
		const its = unpriced.length === 1 ? "its" : "their";
		const names = unpriced.map((name) => brief(name)).join(", ");
		notes.push(`No price for ${names}: ${its} tokens are not in the cost (+).`);
	}
	return notes;
}

/** Returns the reason and advice if no figure is shown. */
function emptyWords() {
	const { usage, state } = page;
	const switchOn = "Start claude-live without --no-transcripts.";
	const isOfFleet = Boolean(app.health.fleet?.machines);
	if (state === "off" && isOfFleet)
		return ["Each machine counts its own tokens", "Open the page of its own claude-live."];
	if (state === "off") return ["Transcripts are switched off", switchOn];
	if (!usage && state !== "failed") return undefined;
	if (!usage) return ["No answer from the server", "Retrying."];
	if (page.shown) return undefined;
	if (isFiltered() && usage.rows.length) return ["Nothing matches", ""];
	if (usage.partial) return ["No usage yet", "The newest transcripts are read first."];
	const advice = "Start Claude Code in a project, or try claude-live --demo.";
	return [`No usage in the last ${page.choice.days} days`, advice];
}

function status() {
	const { reading } = page.usage ?? {};
	return [
		reading && `${plural(reading.done, "transcript")} read`,
	];
}
