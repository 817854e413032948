/**
 * Desktop notifications: of sessions that wait, finish or fail, and of prompts.
 * A session has at most one in ten seconds; a later change is notified after that, if still true.
 * Invariant: nothing is notified while a tab of the page has the focus.
 */
import { batch } from "./batch.js";
import { el, setAttr, setText } from "./dom.js";
import { toHash } from "./filter.js";
import { brief } from "./format.js";
import { doing, hasFailed, keyOf, text, titleOf } from "./session.js";
/** @import { Session } from "./types.js" */

/** Kinds of notifications, with the words of their choice and their body. */
const KINDS = {
	waits: ["A session waits for me", "Waits for you"],
	finished: ["A session has finished", "Finished"],
	failed: ["A session has failed", "Failed"],
	prompts: ["A new prompt matches the filter", ""],
	sound: ["With a sound", ""],
};
const DEFAULTS = ["waits", "finished", "failed"];
const PAUSE_MS = 10_000;
/** The transcript's last words can come after the registry's status. */
const SETTLE_MS = 500;
/** A tab with the focus says so every second. */
const SEEN_MS = 2_500;
const BODY_CHARS = 200;
const TITLE = document.title;

/**
 * Returns the kind of notification for a change, if any. The first news of a session has none:
 * the server has just read it.
 * @param {Session | undefined} before @param {Session | undefined} after
 */
export function alertOf(before, after) {
	if (!before || !after) return undefined;
	const isSame = before.status === after.status && before.since === after.since;
	if (after.status === "waiting") return isSame ? undefined : "waits";
	const wasBusy = before.status === "working" || before.status === "waiting";
	if (!wasBusy) return undefined;
	if (after.status === "ended") return after.endedMidTurn ? "failed" : undefined;
	if (after.status !== "idle") return undefined;
	return hasFailed(after) ? "failed" : "finished";
}

/** Chooses when a session is notified. */
export class Pauses {
	/** @type {Map<string, number>} Time of the last notification, by session. */
	#told = new Map();
	/** @type {Map<string, { kind: string, dueMs: number }>} By session. */
	#later = new Map();

	/** Puts off a notification, and returns for how long. */
	put(id, kind, now) {
		const toldMs = this.#told.get(id);
		const settledMs = now + SETTLE_MS;
		const dueMs = toldMs === undefined ? settledMs : Math.max(settledMs, toldMs + PAUSE_MS);
		this.#later.set(id, { kind, dueMs });
		return dueMs - now;
	}

	/** Takes what is due now. @returns {[id: string, kind: string][]} */
	due(now) {
		const due = [...this.#later].filter(([, { dueMs }]) => dueMs <= now);
		for (const [id] of due) this.#later.delete(id);
		return due.map(([id, { kind }]) => [id, kind]);
	}

	onTold(id, now) {
		this.#told.set(id, now);
	}
}

export class Alerts {
	#pauses = new Pauses();
	/** @type {{ title: string, body: string }[]} */
	#prompts = [];
	#showPrompts = batch(() => this.#showPrompt());

	/**
	 * @param {any} at  the button and the place of its choices
	 * @param {() => boolean} isSessionKnown
	 * @param {(id: string) => Session | undefined} sessionOf
	 */
	constructor(storage, at, isSessionKnown, sessionOf) {
		this.storage = storage;
		this.at = at;
		this.isSessionKnown = isSessionKnown;
		this.sessionOf = sessionOf;
		this.isOn = storage.claudeLiveNotifies === "true";
		const hasNone = !globalThis.Notification;
		for (const node of [at.notify, at.choose]) node.hidden = hasNone;
		setAttr(at.notify, "aria-pressed", String(this.isOn));
		at.choices.addEventListener("change", ({ target }) => this.#choose(target));
		at.choices.addEventListener("beforetoggle", () => this.#drawChoices());
	}

	/** @returns {string[]} */
	get #chosen() {
		try {
			return JSON.parse(this.storage.claudeLiveAlerts);
		} catch {
			return this.isSessionKnown() ? DEFAULTS : [...DEFAULTS, "prompts"];
		}
	}

	#isWanted(kind) {
		return this.isOn && this.#chosen.includes(kind) && !this.#isSeen();
	}

	#isSeen() {
		const seenMs = Number(this.storage.claudeLiveSeen ?? 0);
		return document.hasFocus() || Math.abs(Date.now() - seenMs) < SEEN_MS;
	}

	#drawChoices() {
		const chosen = this.#chosen;
		const choices = Object.entries(KINDS).map(([kind, [label]]) => {
			const checked = chosen.includes(kind);
			const box = el("input", { type: "checkbox", value: kind, checked: checked && "" });
			return el("label", {}, box, " ", label);
		});
		this.at.choices.replaceChildren(...choices);
	}

	#choose({ value, checked }) {
		const rest = this.#chosen.filter((kind) => kind !== value);
		this.storage.claudeLiveAlerts = JSON.stringify(checked ? [...rest, value] : rest);
		if (value === "sound" && checked) beep();
	}

	async switch() {
		const answer = !this.isOn && (await Notification.requestPermission());
		this.isOn = answer === "granted";
		this.storage.claudeLiveNotifies = this.isOn;
		setAttr(this.at.notify, "aria-pressed", String(this.isOn));
		const isBlocked = answer && !this.isOn;
		setText(this.at.notify, isBlocked ? "Notify: blocked by the browser" : "Notify");
	}

	/** @param {Session | undefined} before @param {Session | undefined} after */
	onSession(before, after) {
		const kind = alertOf(before, after);
		if (!after || !kind || !this.#isWanted(kind)) return;
		const waitMs = this.#pauses.put(keyOf(after), kind, Date.now());
		setTimeout(() => this.#tellDue(Date.now()), waitMs);
	}

	/** Remembers that the page is looked at, for the other tabs. */
	onTick(now) {
		if (document.hasFocus()) this.storage.claudeLiveSeen = now;
	}

	/** Notifies of due changes that are still true and were not seen. */
	#tellDue(now) {
		for (const [id, kind] of this.#pauses.due(now)) {
			const session = this.sessionOf(id);
			if (!session || !this.#isWanted(kind)) continue;
			const isTrue = { waits: ["waiting"], failed: ["idle", "ended"] }[kind] ?? ["idle"];
			if (!isTrue.includes(session.status)) continue;
			this.#pauses.onTold(id, now);
			this.#tell(session, kind);
		}
	}

	#tell(session, kind) {
		const { label, text: words, code } = doing(session) ?? {};
		const asked = [label, words, code].filter(Boolean).join(" ");
		const failure = session.endedMidTurn ? "ended mid-turn" : text(session.errors?.last ?? "");
		const more = kind === "failed" ? failure : asked;
		const last = more || text(session.text ?? "");
		const body = brief([KINDS[kind][1], last].filter(Boolean).join(": "), BODY_CHARS);
		const key = keyOf(session);
		const title = [titleOf(session), session.machine].filter(Boolean).join(" · ");
		notify(title, body, `${TITLE} ${key}`, toHash({ open: key }, "sessions"));
		if (this.#chosen.includes("sound")) beep();
	}

	onPrompt(title, body) {
		if (!this.#isWanted("prompts")) return;
		this.#prompts.push({ title, body });
		this.#showPrompts();
	}

	#showPrompt() {
		const [{ title, body }] = this.#prompts;
		const count = this.#prompts.length;
		const name = count > 1 ? `${count} new prompts` : brief(title);
		notify(name, brief(body, BODY_CHARS), TITLE);
		this.#prompts = [];
	}
}

/** Shows one for all tabs, by its tag. A click goes to the hash. */
function notify(title, body, tag, hash = "") {
	const shown = new Notification(title, { body, tag });
	shown.onclick = () => {
		focus();
		if (hash) location.hash = hash;
		shown.close();
	};
}

function beep() {
	const audio = new AudioContext();
	const tone = audio.createOscillator();
	tone.connect(audio.destination);
	tone.start();
	tone.stop(audio.currentTime + 0.12);
	tone.onended = () => audio.close();
}
