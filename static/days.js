/**
 * Days as columns of parts. They are a table, so that a screen reader reads every value.
 * To the keyboard it is one stop: arrows go from day to day, Enter chooses one.
 * Invariant: keeps the days that are drawn and the one that is pointed at, nothing else.
 */
import { el, place, setAttr, setStyle, setText } from "./dom.js";
import { dayName } from "./format.js";
import { roundUp } from "./sums.js";
/** @import { Stack } from "./types.js" */

/** Days whose labels have room side by side. */
const ALL_LABELLED = 14;
/** With more, each second Monday has a label. */
const CROWDED = 40;
const WEEK_MS = 604_800_000;
const CENTS = /\.00$/;
const DESCRIPTION = "usage-readout usage-legend";
const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -1000, End: 1000 };

/**
 * The words and colours of a chart.
 * @typedef {object} Words
 * @property {string} caption
 * @property {string} chosen  a day, or empty
 * @property {(value: number) => string} format
 * @property {(name: string) => string} labelOf  the label of a series
 * @property {(name: string) => Record<string, any>} colorOf
 */

export class Days {
	/** @type {Map<string, any>} Nodes by day. */
	#rows = new Map();
	/** @type {Stack} */
	#stack = { names: [], days: [], totals: [] };
	/** @type {Words} */
	#words = /** @type {any} */ ({});
	/** The day that is pointed at, or has the focus. @type {string | undefined} */
	#day;

	/** @param {Record<string, any>} at  the table `days`, its `readout`, `legend` and `axis` */
	constructor(at) {
		this.at = at;
		const { days } = at;
		const point = ({ target }) => this.#point(target.closest("[data-day]")?.dataset.day);
		days.addEventListener("pointerover", point);
		days.addEventListener("focusin", point);
		days.addEventListener("pointerleave", () => this.#point());
		days.addEventListener("focusout", () => this.#point());
		days.addEventListener("keydown", (event) => this.#onKey(event));
	}

	/** @param {Stack} stack @param {Words} words */
	draw(stack, words) {
		this.#stack = stack;
		this.#words = words;
		const top = roundUp(Math.max(...stack.days.map(({ total }) => total)));
		this.#drawHead(top);
		const rows = stack.days.map((day, at) => this.#row(day, at, top));
		place(this.at.days.tBodies[0], rows);
		for (const [day, row] of this.#rows) if (!row.tr.parentNode) this.#rows.delete(day);
		this.#point(this.#day);
	}

	#drawHead(top) {
		const { caption, format, labelOf } = this.#words;
		const labels = ["Day", ...this.#stack.names.map(labelOf), "Total"];
		const props = { role: "columnheader", scope: "col" };
		const cells = labels.map((label) => el("th", props, label));
		const [row] = this.at.days.tHead.rows;
		if (String(labels) !== this.drawnLabels) row.replaceChildren(...cells);
		this.drawnLabels = String(labels);
		setAttr(this.at.days, "aria-label", caption);
		const [high, half] = this.at.axis.children;
		setText(high, format(top).replace(CENTS, ""));
		setText(half, format(top / 2).replace(CENTS, ""));
	}

	#row({ day, total, values }, at, top) {
		const row = this.#rows.get(day) ?? newRow(day);
		this.#rows.set(day, row);
		const { caption, format, chosen, colorOf } = this.#words;
		const { names, days } = this.#stack;
		const isStop = day === (chosen || days.at(-1)?.day);
		setText(row.label, labelOfDay(day, at, days.length));
		setAttr(row.button, "tabindex", isStop ? 0 : -1);
		setAttr(row.button, "aria-pressed", String(day === chosen));
		setAttr(row.tr, "data-dimmed", chosen !== "" && day !== chosen);
		const key = JSON.stringify([names, values, top, caption]);
		if (row.key === key) return row.tr;
		row.key = key;
		const cells = values.map((value, slot) => {
			const text = el("span", { class: "sr" }, format(value));
			const cell = el("td", { role: "cell", class: "part", "data-zero": !value }, text);
			setStyle(cell, { "--part": value / top, ...colorOf(names[slot]) });
			return cell;
		});
		const sum = el("td", { role: "cell", class: "sr" }, format(total));
		row.tr.replaceChildren(row.tr.firstElementChild, ...cells, sum);
		return row.tr;
	}

	#onKey(event) {
		const { days } = this.#stack;
		const at = days.findIndex(({ day }) => day === event.target.dataset.day);
		if (!(event.key in STEPS) || at < 0) return;
		event.preventDefault();
		const next = Math.max(0, Math.min(days.length - 1, at + STEPS[event.key]));
		this.#rows.get(days[next].day).button.focus();
	}

	/**
	 * Tells the values of a day; by default, of the one that is chosen, or of all.
	 * @param {string} [day]
	 */
	#point(day) {
		this.#day = day;
		const { chosen, format, labelOf, colorOf } = this.#words;
		const { days, names, totals } = this.#stack;
		const found = days.find((it) => it.day === (day ?? chosen));
		const values = found?.values ?? totals;
		const total = values.reduce((sum, value) => sum + value, 0);
		const label = found ? dayName(found.day) : `${days.length} days`;
		setText(this.at.readout, `${label}: ${format(total)}`);
		const parts = names.map((name, at) => {
			const chip = el("span", { class: "chip", "aria-hidden": true, ...colorOf(name) });
			return el("li", {}, chip, el("b", { dir: "auto" }, labelOf(name)), format(values[at]));
		});
		this.at.legend.replaceChildren(...parts);
	}
}

function newRow(day) {
	const label = el("span", { class: "tick", "aria-hidden": true });
	const props = { "data-do": "day", "data-day": day, "aria-describedby": DESCRIPTION };
	const button = el("button", props, el("span", { class: "sr" }, dayName(day)), label);
	const head = el("th", { role: "rowheader", scope: "row" }, button);
	return { tr: el("tr", { role: "row", "data-day": day }, head), button, label };
}

/** Each day has a label if there is room, else Mondays have one. */
function labelOfDay(day, at, count) {
	if (count <= ALL_LABELLED) return dayName(day, "week");
	const time = new Date(day);
	const isCrowded = count > CROWDED;
	const isSkipped = isCrowded && Math.floor(time.getTime() / WEEK_MS) % 2;
	// A label is wider than a day.
	const hasRoom = at < count - (isCrowded ? 7 : 2);
	return time.getUTCDay() === 1 && hasRoom && !isSkipped ? dayName(day, "date") : "";
}
