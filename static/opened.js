/**
 * The session that is open: its timeline, the newest records at the bottom.
 * The end is followed while it is in sight; older records are read when the start comes into sight.
 * Invariant: keeps nothing of a session that is closed.
 */
import { batch } from "./batch.js";
import { contextOf, errorOf, since } from "./cards.js";
import { copyText, reveal } from "./details.js";
import { el, flat, painted, parts, place, setAttr, setText } from "./dom.js";
import { matcher, wantedWords } from "./filter.js";
import { brief, bytes, number, plural } from "./format.js";
import { highlight } from "./highlight.js";
import { resumeOf } from "./items.js";
import { fillLine, groupLine, newDate, newGroup, newRow, recordNodes, rowLine } from "./lines.js";
import {
	AGENT_TOOLS,
	doing,
	figures,
	isAtRest,
	keyOf,
	modeWords,
	modelName,
	titleOf,
} from "./session.js";
import { Timeline, daysOf, grouped, haystackOf, isUnanswered } from "./timeline.js";
/** @import { Frame, Session, TimeRow } from "./types.js" */

/** Records of the first request, and of later ones. */
const FIRST = 100;
const MORE = 100;
/** Records that a search reads in a go. */
const SEARCHED = 1_000;
const MOST_REQUESTS = 10;
const RETRY_MS = 1_000;
const EVER = "/api/claude/sessions?limit=1&hours=876000";
/** Matches that are enough for a click. */
const ENOUGH = 50;
/** The longest record that the server reads. */
const MOST_BYTES = 16 * 1024 * 1024;
/** Of a project's path. */
const PATH_CHARS = 1_000;
const DELETED = "The session was deleted.";
/** The end is in sight within these pixels. */
const NEAR_PX = 48;

export class Opened {
	id = "";
	/** The parts of `id`; only a fleet has machines. */
	#sessionId = "";
	#machine = "";
	/** @type {Timeline} */
	#timeline = new Timeline();
	/** @type {"idle" | "reading" | "failed" | "unknown" | "deleted" | "elsewhere"} */
	#state = "idle";
	#isStartInSight = false;
	/** As of the last scroll. */
	#wasAtEnd = true;
	/** New rows since the end was in sight, as of the last drawing, and since then. */
	#unseen = 0;
	#fresh = 0;
	#words = "";
	/** Rows and groups, as of the last drawing. @type {TimeRow[][]} */
	#found = [];
	/** @type {Map<TimeRow, any>} Nodes of rows. */
	#nodes = new Map();
	/** @type {Map<TimeRow, any>} Nodes of groups, by each of their rows. */
	#groups = new Map();
	/** Lines with a date, by the start of its day. @type {Map<number, any>} */
	#dates = new Map();
	/** Timelines of subagents that are open, by id. @type {Map<string, Timeline>} */
	#agents = new Map();
	/** @type {Session | undefined} */
	#session;
	/** The same as the server sent it. @type {Session | undefined} */
	#sent;
	/** Buttons of rows: the one that had the focus last, and the one that Tab reaches. */
	#focused = /** @type {any} */ (undefined);
	#stop = /** @type {any} */ (undefined);
	#at = parts("sessions-");
	#drawSoon = batch(() => this.#draw());

	/** @param {Frame} app */
	constructor(app) {
		this.app = app;
		const { flow, rows, find, before } = this.#at;
		flow.addEventListener("scroll", () => this.#onScroll(), { passive: true });
		rows.addEventListener("click", ({ target }) => this.#onClick(target));
		rows.addEventListener("keydown", (event) => this.#onKey(event));
		rows.addEventListener("focusin", ({ target }) => this.#onFocus(target));
		rows.addEventListener("toggle", () => setTimeout(() => this.#highlight()), true);
		find.addEventListener("input", () => this.#find(find.value.trim()));
		const onSight = (seen) => this.#onSight(seen.at(-1)?.isIntersecting);
		new IntersectionObserver(onSight, { root: flow, rootMargin: "800px" }).observe(before);
		new ResizeObserver(() => this.#follow()).observe(flow);
	}

	#onSight(isIn) {
		this.#isStartInSight = isIn;
		if (isIn && this.#state === "idle" && !this.#words) this.#readOlder(MORE);
	}

	/** Opens a session, or none for an empty id. */
	show(id, session) {
		const isBack = session && this.#state === "deleted";
		if (id !== this.id || isBack) this.#begin(id);
		if (!session || session === this.#sent) return;
		this.#sent = session;
		// Without its transcript the server knows no title, a moment before it removes the session.
		this.#session = session.records ? session : { ...this.#session, ...session };
		this.#drawHead(Date.now());
		// Its state tells whether open calls run.
		this.#drawSoon();
	}

	#begin(id) {
		this.id = id;
		[this.#sessionId, this.#machine] = id.split("/").reverse();
		this.#session = this.#sent = undefined;
		this.#words = this.#at.find.value = "";
		this.#at.one.hidden = !id;
		this.#clear();
		this.#drawHead(Date.now());
		if (!id) return;
		this.#readOlder(FIRST).then(() => this.#toEnd());
	}

	#clear() {
		this.#timeline = new Timeline();
		this.#state = "idle";
		this.#unseen = this.#fresh = 0;
		for (const map of [this.#nodes, this.#groups, this.#dates, this.#agents]) map.clear();
		this.#at.rows.replaceChildren();
	}

	/** Reads the newest records again, after a gap in the stream or in the rows. */
	reload() {
		if (!this.id || this.#state === "deleted") return;
		this.#clear();
		this.#readOlder(FIRST).then(() => this.#toEnd());
	}

	#path(agentId, rest = "") {
		const agent = agentId ? `agent=${encodeURIComponent(agentId)}` : "";
		return `/api/claude/sessions/${encodeURIComponent(this.id)}/records${rest}?${agent}`;
	}

	/** Makes one request at a time, since each begins where the last one ended. */
	async #readOlder(limit) {
		const timeline = this.#timeline;
		const { reached } = timeline;
		if (!this.id || reached.state === "beginning" || this.#state === "reading") return;
		if (this.#machine) this.#state = "elsewhere";
		if (this.#machine) return this.#drawNote();
		this.#state = "reading";
		this.#drawNote();
		const before = reached.state === "at" ? `&before=${reached.offset}` : "";
		const path = `${this.#path("")}&limit=${limit}${before}`;
		const read = () => this.app.get(path).catch(({ status }) => ({ status }));
		let answer = await read();
		const isUnread = reached.state === "unread";
		if (answer.status === 404 && isUnread) answer = await this.#readOld().then(read);
		if (timeline === this.#timeline) this.#take(answer);
	}

	#take(answer) {
		if (this.#state === "deleted") return;
		this.#state = answer.records ? "idle" : answer.status === 404 ? "unknown" : "failed";
		if (answer.records) this.#prepend(answer);
		this.#drawNote();
		// The start can still be in sight; the observer reports it with the next frame.
		painted().then(painted).then(() => this.#onSight(this.#isStartInSight));
	}

	/** Makes the server read the sessions of more than a day ago, which it does when asked. */
	async #readOld() {
		for (let count = 0; count < MOST_REQUESTS; count += 1) {
			const { reading } = await this.app.get(EVER).catch(() => ({}));
			if (!reading || reading.done >= reading.files) return;
			await new Promise((resume) => setTimeout(resume, RETRY_MS));
		}
	}

	/** Rows in sight stay where they are. */
	#prepend({ records, before }) {
		const { flow } = this.#at;
		const fromEnd = flow.scrollHeight - flow.scrollTop;
		this.#timeline.addOlder(records, before, this.#isWanted());
		this.#draw();
		if (flow.scrollTop < NEAR_PX) flow.scrollTop = flow.scrollHeight - fromEnd;
	}

	/** Takes a record of the stream. */
	onRecord(event) {
		const { agentId } = event.data;
		if (keyOf(event.data) !== this.id) return;
		const timeline = agentId ? this.#agents.get(agentId) : this.#timeline;
		const count = timeline?.add(event) ?? 0;
		if (!agentId) this.#fresh += count;
		if (timeline) this.#drawSoon();
	}

	onDeleted() {
		this.#state = "deleted";
		this.#drawHead(Date.now());
		this.#draw();
	}

	#isAtEnd() {
		const { flow } = this.#at;
		return flow.scrollHeight - flow.scrollTop - flow.clientHeight < NEAR_PX;
	}

	#toEnd() {
		this.#at.flow.scrollTop = this.#at.flow.scrollHeight;
		this.#onScroll();
	}

	newest() {
		if (this.#timeline.hasGap) this.reload();
		else this.#toEnd();
	}

	/** Keeps the end in sight when something has grown, or the window has another size. */
	#follow() {
		if (this.#wasAtEnd && !this.#words) this.#toEnd();
	}

	#onScroll() {
		this.#wasAtEnd = this.#isAtEnd();
		if (this.#unseen && this.#isAtEnd()) this.#unseen = 0;
		this.#drawNew();
	}

	#find(words) {
		if (words === this.#words) return;
		const hit = words ? undefined : this.#hit();
		this.#words = words;
		this.#draw();
		if (hit) this.#keepInSight(hit);
		else if (!words) this.#toEnd();
	}

	/** Returns the row that a search was for, and its place: one in use, else one in sight. */
	#hit() {
		const { rows, flow } = this.#at;
		const { top, bottom } = flow.getBoundingClientRect();
		const placeOf = (node) => node.getBoundingClientRect().top - top;
		const isInSight = (node) => placeOf(node) >= 0 && placeOf(node) < bottom - top;
		const isOpen = (node) => node.isOpen;
		const hasFocus = (node) => node.contains(document.activeElement);
		const isOpenHere = (node) => isOpen(node) && isInSight(node);
		const tests = [hasFocus, isOpenHere, isOpen, isInSight];
		const nodes = Array.from(rows.children).filter((node) => !node.matches(".date"));
		const node = tests.map((test) => nodes.find(test)).find(Boolean);
		return node && { node, place: placeOf(node) };
	}

	/** Puts a row at the place where it was, or as near as it is in sight. */
	#keepInSight({ node, place }) {
		const group = this.#groups.get(node.row);
		if (!node.isConnected && group && !group.isOpen) this.#toggle(group);
		const { flow } = this.#at;
		const top = node.getBoundingClientRect().top - flow.getBoundingClientRect().top;
		const lowest = flow.clientHeight - NEAR_PX;
		flow.scrollTop += top - Math.max(0, Math.min(place, lowest));
		this.#onScroll();
	}

	/** Clears the search. Returns whether there was one. */
	clearFind() {
		const { find } = this.#at;
		if (!find.value) return false;
		find.value = "";
		this.#find("");
		return true;
	}

	#isWanted() {
		return matcher({ q: this.#words }, haystackOf);
	}

	/** Searches older records until there are enough matches, or the requests of a click end. */
	async further() {
		const { length } = this.#found;
		for (let count = 0; count < MOST_REQUESTS && this.#words; count += 1) {
			await this.#readOlder(SEARCHED);
			if (this.#state !== "idle" || this.#found.length > length + ENOUGH) return;
		}
	}

	#draw() {
		if (!this.id) return;
		const isAtEnd = this.#isAtEnd();
		const isFollowed = isAtEnd && !this.#words;
		if (!isAtEnd) this.#unseen += this.#fresh;
		this.#fresh = 0;
		const { rows } = this.#timeline;
		const matching = () => rows.filter(this.#isWanted()).map((row) => [row]);
		this.#found = this.#words ? matching() : grouped(rows, (row) => this.#isApart(row));
		const days = daysOf(this.#found, Date.now());
		const nodes = this.#found.map((group) => [
			this.#dateNode(days.get(group)),
			this.#nodeOf(group),
		]);
		const activeElement = /** @type {any} */ (document.activeElement);
		place(this.#at.rows, flat(nodes));
		// A row that goes into an open group loses it.
		if (this.#at.rows.contains(activeElement)) activeElement.focus({ preventScroll: true });
		this.#drawStop();
		this.#prune(rows);
		this.#highlight();
		this.#drawNote();
		if (isFollowed) this.#at.flow.scrollTop = this.#at.flow.scrollHeight;
		this.#drawNew();
	}

	#prune(rows) {
		if (this.#nodes.size + this.#groups.size < 3 * rows.length + MORE) return;
		const kept = new Set(rows);
		for (const map of [this.#nodes, this.#groups]) {
			for (const row of map.keys()) if (!kept.has(row) && !row.agentId) map.delete(row);
		}
	}

	#highlight() {
		highlight(this.#at.rows, wantedWords({ q: this.#words }));
	}

	#nodeOf(group) {
		return group.length > 1 ? this.#groupNode(group) : this.#rowNode(group[0]);
	}

	#dateNode(day) {
		if (day === undefined) return undefined;
		const node = this.#dates.get(day) ?? newDate(day);
		this.#dates.set(day, node);
		return node;
	}

	/** Whether a row is in use and would vanish in a group that is closed. */
	#isApart(row) {
		const node = this.#nodes.get(row);
		if (!node?.isConnected || this.#groups.get(row)?.isOpen) return false;
		return node.isOpen || node.contains(document.activeElement);
	}

	#groupNode(group) {
		const node = group.map((row) => this.#groups.get(row)).find(Boolean) ?? newGroup();
		// A row that is apart can cut a group in two; each of them has a node of its own.
		for (const row of node.group ?? []) this.#groups.delete(row);
		for (const row of group) this.#groups.set(row, node);
		if (node.count !== group.length) {
			node.count = group.length;
			fillLine(node, groupLine(group));
		}
		node.group = group;
		if (node.isOpen) place(node.list, group.map((row) => this.#rowNode(row)));
		return node;
	}

	#rowNode(row) {
		const node = this.#nodes.get(row) ?? newRow(row);
		this.#nodes.set(row, node);
		const isRunning = this.#isRunning(row);
		if (node.isOpen) this.#fillWork(node);
		if (node.result === row.result && node.isRunning === isRunning) return node;
		if (node.isOpen && node.result !== row.result) {
			this.#fillResult(node).then(() => this.#follow());
		}
		Object.assign(node, { result: row.result, isRunning });
		fillLine(node, rowLine(row, isRunning));
		setAttr(node, "data-error", Boolean(row.result?.isError || row.result?.denied));
		setAttr(node, "data-running", isRunning);
		return node;
	}

	#isRunning(row) {
		if (this.#state === "deleted" || !isUnanswered(row) || row.isOver) return false;
		return !this.#session || !isAtRest(this.#session, row);
	}

	#onClick(target) {
		const button = target.closest("button");
		if (button?.matches(".open") || !button) {
			const line = target.closest(".line");
			if (line && !String(getSelection())) this.#toggle(line.parentNode);
		} else reveal(button);
		this.#drawStop();
		this.#highlight();
	}

	/** Opens or closes a row, a group, or a subagent's work. */
	async #toggle(node) {
		node.isOpen = !node.isOpen;
		setAttr(node.querySelector(".open"), "aria-expanded", String(node.isOpen));
		node.list?.replaceChildren();
		node.detail?.remove();
		if (!node.isOpen) return;
		if (node.group) return place(node.list, node.group.map((row) => this.#rowNode(row)));
		// The call, the work of its subagent, its result.
		const parts = [el("div", {}, note("Reading…")), el("div"), el("div")];
		node.detail = el("div", { class: "detail" }, parts);
		node.append(node.detail);
		await Promise.all([this.#fillCall(node), this.#fillResult(node)]);
		node.detail.scrollIntoView({ block: "nearest" });
	}

	async #fillCall({ row, detail }) {
		detail.children[0].replaceChildren(...flat(recordNodes(await this.#record(row))));
	}

	/** Shows the result of a call, which can come while the call is open, and its subagent. */
	async #fillResult(node) {
		const { row, detail } = node;
		const record = row.result && (await this.#record(row.result));
		if (record) detail.children[2].replaceChildren(...flat(recordNodes(record, "result")));
		await this.#fillWork(node, record);
	}

	/** Shows the work of a call's subagent, once it is known which one that is. */
	async #fillWork({ row, detail }, result) {
		const [, work] = detail.children;
		const agentId = AGENT_TOOLS.includes(row.name) && this.#agentId(row, result);
		if (!agentId || work.firstChild) return;
		work.append(note("Reading…"));
		work.replaceChildren(await this.#agentWork(agentId));
	}

	/** Reads a whole record. In files of 2025 subagents' records are in their session's file. */
	async #record({ offset, bytes: size, agentId }) {
		if (size > MOST_BYTES) return { problem: tooLong(size) };
		const read = (agent) => this.app.getText(this.#path(agent, `/${offset}`));
		const found = read(agentId).catch((error) => (agentId ? read("") : Promise.reject(error)));
		return found.then((text) => ({ text }), ({ status }) => {
			const isGone = status === 404;
			return { problem: isGone ? "The record is no longer in the file." : "No answer." };
		});
	}

	async #agentWork(agentId) {
		const timeline = new Timeline();
		this.#agents.set(agentId, timeline);
		const answer = await this.app
			.get(`${this.#path(agentId)}&limit=${SEARCHED}`)
			.catch(() => undefined);
		if (!answer) return note("The server has no transcript of this subagent.");
		timeline.addOlder(answer.records, answer.before);
		const list = el("ol", { class: "nest" });
		list.timeline = timeline;
		this.#placeWork(list);
		return list;
	}

	/** Returns the subagent that a call started, by the session's state, else by the result. */
	#agentId({ toolUseId }, result) {
		const { agents = [] } = this.#session ?? {};
		const agent = agents.find((it) => toolUseId && it.toolUseId === toolUseId);
		return agent?.agentId ?? /"agentId":"([\w-]+)"/.exec(result?.text ?? "")?.[1];
	}

	/** Draws the open work of subagents again. */
	#drawAgents() {
		for (const list of this.#at.rows.querySelectorAll(".nest")) this.#placeWork(list);
	}

	#placeWork(list) {
		const groups = grouped(list.timeline.rows, (row) => this.#isApart(row));
		place(list, groups.map((group) => this.#nodeOf(group)));
	}

	#drawNote() {
		if (this.#agents.size) this.#drawAgents();
		const { reached, lookedAt } = this.#timeline;
		const isBeginning = reached.state === "beginning";
		const searched = `Searched the newest ${plural(lookedAt, "row")}.`;
		const isEmpty = this.#words && !this.#found.length;
		const whole = isEmpty ? "Nothing matches." : "The session begins here.";
		const texts = {
			reading: "Reading…",
			failed: "The server did not answer.",
			unknown: "No transcript of this session: it was deleted, or is too old.",
			deleted: DELETED,
			elsewhere: `Its records are on ${this.#machine}: open the page there.`,
			idle: isBeginning ? whole : this.#words ? searched : "",
		};
		setText(this.#at.before, texts[this.#state]);
		const isGone = ["unknown", "deleted"].includes(this.#state);
		const isMore = !isBeginning && !isGone && !this.#machine;
		this.#at.further.hidden = !this.id || !isMore || !(this.#words || this.#state === "failed");
		setAttr(this.#at.before, "data-state", this.#state);
	}

	#drawNew() {
		const { hasGap } = this.#timeline;
		this.#at.new.hidden = !hasGap && !this.#unseen;
		setText(this.#at.new, hasGap ? "Back to the newest" : `${number(this.#unseen)} new`);
	}

	#drawHead(now) {
		const session = this.#session;
		const at = this.#at;
		const known = session ?? /** @type {any} */ ({ sessionId: this.#sessionId });
		setText(at.title, this.id && titleOf(known));
		const isDeleted = this.#state === "deleted";
		at.figures.replaceChildren(...(session ? headFigures(session, now, isDeleted) : []));
		at.path.hidden = !session?.path;
		at.waits.hidden = isDeleted || session?.status !== "waiting";
		if (session && !at.waits.hidden) at.waits.replaceChildren(...waitBar(session, now));
	}

	/** Copies a text of the session. */
	copy(button) {
		const { project = "", path = "" } = this.#session ?? {};
		const sessionId = this.#sessionId;
		const { claudeDir = "~/.claude" } = this.#machine ? {} : this.app.health;
		const texts = {
			resume: resumeOf(/** @type {any} */ ({ project, session: sessionId })),
			id: sessionId,
			path: `${claudeDir}/${path}`,
		};
		copyText(button, texts[button.dataset.text] ?? sessionId);
	}

	/** Moves the focus to the rows: to the newest one in sight. */
	focus() {
		if (this.#at.rows.childElementCount) this.move(0);
		else this.#at.flow.focus({ preventScroll: true });
	}

	/** Moves the focus to the next row or to the one before, at first to the newest in sight. */
	move(by) {
		const buttons = [...this.#at.rows.querySelectorAll(".open")];
		const { activeElement } = document;
		const at = buttons.findLastIndex((it) => it.closest("li").contains(activeElement));
		const bottom = Math.min(innerHeight, this.#at.flow.getBoundingClientRect().bottom);
		const isInSight = (button) => button.getBoundingClientRect().bottom <= bottom;
		const wanted = at < 0 ? buttons.findLastIndex(isInSight) : at + by;
		const next = buttons[Math.max(0, Math.min(buttons.length - 1, wanted))];
		next?.focus({ preventScroll: true });
		next?.closest(".line").scrollIntoView({ block: "nearest" });
	}

	#onKey(event) {
		const { key, target, ctrlKey, altKey, metaKey, shiftKey } = event;
		const by = { ArrowDown: 1, ArrowUp: -1 }[key];
		if (!by || !target.matches(".open") || ctrlKey || altKey || metaKey || shiftKey) return;
		event.preventDefault();
		this.move(by);
	}

	#onFocus(target) {
		if (!target.matches(".open")) return;
		this.#focused = target;
		this.#drawStop();
	}

	/** Lets Tab reach one row: the one that had the focus last, at first the newest one. */
	#drawStop() {
		const { rows } = this.#at;
		const newest = rows.lastElementChild?.querySelector(".open");
		const stop = rows.contains(this.#focused) ? this.#focused : newest;
		if (this.#stop !== stop) this.#stop?.setAttribute("tabindex", "-1");
		stop?.setAttribute("tabindex", "0");
		this.#stop = stop;
	}

	/** Closes the record that has the focus. Returns whether it was open. */
	closeRow() {
		const node = document.activeElement?.closest("li");
		const row = /** @type {any} */ (node);
		if (!row?.isOpen) return false;
		this.#toggle(row);
		row.querySelector(".open").focus();
		return true;
	}
}

function tooLong(size) {
	return `The record has ${bytes(size)}; the page shows at most ${bytes(MOST_BYTES)}.`;
}

const note = (words) => el("p", { class: "note" }, words);

function headFigures(session, now, isDeleted) {
	const { project, gitBranch, model, permissionMode, records, startedAt } = session;
	const { turns, denied, compactions, tokens, cache, cost, reported } = figures(session);
	const words = [
		isDeleted && el("span", { class: "error" }, DELETED),
		project && brief(project, PATH_CHARS),
		gitBranch && brief(gitBranch),
		model && modelName(model),
		modeWords(permissionMode),
		turns,
		denied,
		compactions,
		plural(records, "record"),
		startedAt && !isDeleted && since(startedAt, now, "began ", " ago"),
		contextOf(session),
		tokens,
		cache,
		cost,
		reported,
		errorOf(session, now),
	];
	return words.filter(Boolean).map((part) => el("span", {}, part));
}

function waitBar(session, now) {
	const { label, text, code } = doing(session) ?? {};
	return flat([
		el("b", {}, since(session.since, now, "Waits for you · ")),
		el("span", { dir: "auto" }, [label, text].filter(Boolean).join(" ")),
		code && el("code", { dir: "auto" }, code),
	]);
}
