/**
 * A table of sums that sorts by any column.
 * A row's nodes are kept while its group is shown, so that the focus stays where it is.
 * Invariant: knows groups and nodes, not the state of the page.
 */
import { el, place, setAttr, setStyle, setText } from "./dom.js";
import { number, usd } from "./format.js";
import { short } from "./session.js";
import { sorted } from "./sums.js";
/** @import { Group, Measure } from "./types.js" */

/** Rows at first. */
const ROWS = 10;

/** Returns the cost of a group; `+` if a part of it has no price. @param {Group} group */
export function costOf({ cost, isLess }) {
	return cost === undefined ? "no price" : `${usd(cost)}${isLess ? "+" : ""}`;
}

/**
 * Label, the value to sort by, and its text. Columns with `isMore` need a wide table; those
 * with `isRare` are shown if a group has the value.
 * @typedef {{ key: string, label: string, of: (group: Group) => any,
 *   text?: (group: Group) => string, isText?: boolean, isMore?: boolean,
 *   isRare?: boolean }} Column
 */

/** @returns {Column} */
const figure = (key, label, isMore = false, text = (group) => short(group[key])) => {
	return { key, label, isMore, text, of: (group) => group[key] };
};
const FIGURES = [
	figure("cost", "Cost", false, costOf),
	figure("tokens", "Tokens"),
	figure("input", "Input", true),
	figure("output", "Output", true),
	figure("cacheWrite", "Cache write", true),
	figure("cacheRead", "Cache read", true),
	figure("responses", "Responses", true, ({ responses }) => number(responses)),
];

export class SumTable {
	/** @type {Map<string, any>} Nodes by the name of their group. */
	#rows = new Map();
	#sort = { key: "cost", isDown: true };
	#isWhole = false;
	/** By column. @type {boolean[]} */
	#hidden = [];
	/** @type {Group[]} */
	#groups = [];
	/** @type {Measure} The figure of the bars. */
	#measure = "cost";

	/**
	 * @param {any} section  a heading, a table and a button follow in it
	 * @param {Column[]} first  before the figures; the first one is the name
	 * @param {Column[]} last
	 * @param {{ nameOf: (group: Group) => any, colorOf: (group: Group) => any }} looks  the node
	 *   of a name, whose text says everything that can change
	 */
	constructor(section, first, last, looks) {
		this.columns = [...first, ...FIGURES, ...last];
		this.looks = looks;
		this.body = el("tbody");
		this.more = el("button", { class: "link", hidden: true });
		this.heads = this.columns.map(newHead);
		const heading = section.querySelector("h2");
		const head = el("thead", {}, el("tr", {}, this.heads));
		const table = el("table", { "aria-labelledby": heading.id }, head, this.body);
		section.append(table, this.more);
		head.addEventListener("click", ({ target }) => this.#sortBy(target.dataset.key));
		this.more.addEventListener("click", () => {
			this.#isWhole = !this.#isWhole;
			this.#draw();
		});
	}

	/** @param {Group[]} groups @param {Measure} measure */
	show(groups, measure) {
		this.#groups = groups;
		if (measure !== this.#measure) this.#sort = { key: measure, isDown: true };
		this.#measure = measure;
		this.#draw();
	}

	#sortBy(key) {
		if (!key) return;
		const isText = this.columns.find((column) => column.key === key)?.isText;
		const isDown = this.#sort.key === key ? !this.#sort.isDown : !isText;
		this.#sort = { key, isDown };
		this.#draw();
	}

	#draw() {
		const { key, isDown } = this.#sort;
		this.heads.forEach((head, at) => {
			const isSorted = this.columns[at].key === key;
			setAttr(head, "aria-sort", isSorted && (isDown ? "descending" : "ascending"));
		});
		const isKnown = ({ of }) => this.#groups.some((group) => of(group) !== undefined);
		this.#hidden = this.columns.map((column) => !!column.isRare && !isKnown(column));
		this.#hidden.forEach((isHidden, at) => (this.heads[at].hidden = isHidden));
		const { of } = /** @type {Column} */ (this.columns.find((column) => column.key === key));
		const groups = sorted(this.#groups, of, isDown);
		const shown = this.#isWhole ? groups : groups.slice(0, ROWS);
		const most = Math.max(...groups.map((group) => group[this.#measure] ?? 0));
		place(this.body, shown.map((group) => this.#row(group, most)));
		for (const [name, row] of this.#rows) if (!row.tr.parentNode) this.#rows.delete(name);
		this.more.hidden = groups.length <= ROWS;
		setText(this.more, this.#isWhole ? "show fewer" : `show all ${number(groups.length)}`);
	}

	#row(group, most) {
		const row = this.#rows.get(group.name) ?? this.#newRow();
		this.#rows.set(group.name, row);
		const [name, ...cells] = row.cells;
		const fresh = this.looks.nameOf(group);
		if (fresh.textContent !== name.textContent) name.replaceChildren(fresh);
		const part = most ? (group[this.#measure] ?? 0) / most : 0;
		setStyle(name, { "--part": part, ...this.looks.colorOf(group) });
		cells.forEach((cell, at) => {
			setText(cell, this.columns[at + 1].text?.(group) ?? "");
			cell.hidden = this.#hidden[at + 1];
		});
		return row.tr;
	}

	#newRow() {
		const cells = this.columns.map(({ isText = false, isMore = false }, at) => {
			const props = { "data-text": isText, "data-wide": isMore };
			return at ? el("td", props) : el("th", { scope: "row", class: "name" });
		});
		return { tr: el("tr", {}, cells), cells };
	}
}

/** @param {Column} column */
function newHead({ key, label, isText = false, isMore = false }, at) {
	const button = el("button", { class: "sort", "data-key": key }, label);
	const props = { "data-text": isText, "data-wide": isMore, class: !at && "name" };
	return el("th", { scope: "col", ...props }, button);
}
