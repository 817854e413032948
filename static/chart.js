/**
 * The last hour as sixty bars. To the keyboard it is a slider, whose Enter goes to the minute.
 * Invariant: keeps the minutes that are drawn and the one that is pointed at, nothing else.
 */
import { el, setAttr, setText } from "./dom.js";
import { brief, clock, namesOf, number, plural } from "./format.js";

/** Units of the drawing, which is stretched to the page. A minute is 1 wide. */
const BAR = 0.8;
const HEIGHT = 48;
/** Prompts of a full bar at least. With fewer, a single prompt would be a tower. */
const LEAST_TOP = 4;
/** Projects named before "more". */
const NAMED = 4;
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, Home: -60, End: 60 };

export class Chart {
	/** @type {import("./types.js").Minute[]} */
	#hour = [];
	/** @type {number | undefined} */
	#at;
	#colorChanges = 0;
	#readout = el("p", { class: "readout" }, "last hour");
	#bars = el("svg", { viewBox: "0 0 60 48", "aria-hidden": true, preserveAspectRatio: "none" });

	constructor(place, go) {
		this.place = place;
		this.go = go;
		place.append(this.#readout, this.#bars);
		place.addEventListener("pointermove", (event) => this.#point(this.#under(event)));
		place.addEventListener("click", (event) => go(this.#hour[this.#under(event)]));
		place.addEventListener("keydown", (event) => this.#onKey(event));
		place.addEventListener("pointerleave", () => this.#point());
		place.addEventListener("blur", () => this.#point());
	}

	draw(hour, colors) {
		const isSame = JSON.stringify(hour) === JSON.stringify(this.#hour);
		if (isSame && this.#colorChanges === colors.changes) return;
		this.#hour = hour;
		this.#colorChanges = colors.changes;
		const scale = HEIGHT / Math.max(LEAST_TOP, ...hour.map(({ total }) => total));
		const columns = hour.map(({ parts }, at) => column(parts, at, scale, colors));
		this.#bars.replaceChildren(...columns);
		this.#point(this.#at);
	}

	#under({ clientX }) {
		const { left, width } = this.#bars.getBoundingClientRect();
		return this.#within(Math.floor(((clientX - left) / width) * this.#hour.length));
	}

	#within(at) {
		return Math.max(0, Math.min(this.#hour.length - 1, at));
	}

	#onKey(event) {
		const at = this.#at ?? this.#hour.length - 1;
		if (event.key === "Enter") this.go(this.#hour[at]);
		else if (event.key in STEPS) this.#point(this.#within(at + STEPS[event.key]));
		else return;
		event.preventDefault();
	}

	/** @param {number} [at] */
	#point(at) {
		this.#at = at;
		const total = this.#hour.reduce((sum, minute) => sum + minute.total, 0);
		const whole = `last hour: ${plural(total, "prompt")}`;
		const text = at === undefined ? whole : describe(this.#hour[at]);
		const bars = [...this.#bars.children];
		bars.forEach((bar, index) => setAttr(bar, "data-pointed", index === at));
		setText(this.#readout, text);
		setAttr(this.place, "aria-valuenow", at ?? this.#hour.length - 1);
		setAttr(this.place, "aria-valuetext", text);
	}
}

function describe({ ms, total, parts }) {
	const names = namesOf(parts.map(([path]) => path));
	const largest = parts.slice(0, NAMED);
	const named = largest.map(([path, count]) => `${brief(names.get(path))} ${number(count)}`);
	if (parts.length > NAMED) named.push(`${parts.length - NAMED} more`);
	return [`${clock(ms)}: ${plural(total, "prompt")}`, ...named].join(" · ");
}

function column(parts, x, scale, colors) {
	const rect = (name, y, height, color) =>
		el("rect", { class: name, x, y, width: BAR, height, ...color });
	let y = HEIGHT;
	const bars = parts.map(([project, count]) => {
		y -= count * scale;
		return rect("bar", y, count * scale, colors.of(project));
	});
	return el("g", {}, rect("back", 0, HEIGHT), rect("ground", HEIGHT - 1, 1), bars);
}
