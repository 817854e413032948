/**
 * The last hour as sixty bars; to the keyboard a slider, whose Enter goes to the minute.
 * Invariant: draws what `Tally.hour` says and keeps nothing but the minute pointed at.
 */
import { el, mark, say } from "./dom.js";
import { brief, clock, hue, namesOf, number, plural } from "./format.js";

/** The drawing is stretched: a minute is 1 wide. */
const WIDTH = 60;
const BAR = 0.8;
const HEIGHT = 48;
/** A lower scale would make a lone prompt a tower. */
const LEAST_TOP = 4;
/** Projects named before "more". */
const NAMED = 4;

export class Chart {
	/** @type {Minute[]} */
	#hour = [];
	#at = -1;
	#readout = el("p", { class: "readout" }, "last hour");
	#bars = el("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": true, preserveAspectRatio: "none" });

	constructor(place, go) {
		this.place = place;
		this.go = go;
		place.append(this.#readout, this.#bars);
		place.addEventListener("pointermove", (event) => this.#point(this.#under(event)));
		place.addEventListener("click", (event) => go(this.#hour[this.#under(event)]));
		place.addEventListener("keydown", (event) => this.#key(event));
		for (const end of ["pointerleave", "blur"]) place.addEventListener(end, () => this.#point(-1));
	}

	draw(hour) {
		if (JSON.stringify(hour) === JSON.stringify(this.#hour)) return;
		this.#hour = hour;
		const top = Math.max(LEAST_TOP, ...hour.map(({ total }) => total));
		this.#bars.replaceChildren(...hour.map(({ parts }, at) => column(parts, at, HEIGHT / top)));
		this.#point(this.#at);
	}

	#under({ clientX }) {
		const { left, width } = this.#bars.getBoundingClientRect();
		return this.#within(Math.floor(((clientX - left) / width) * this.#hour.length));
	}

	#within(at) {
		return Math.max(0, Math.min(this.#hour.length - 1, at));
	}

	#key(event) {
		const at = this.#at < 0 ? this.#hour.length - 1 : this.#at;
		const by = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, Home: -Infinity, End: Infinity, Enter: 0 }[event.key];
		if (by === undefined) return;
		event.preventDefault();
		this.#point(this.#within(at + by));
		if (by === 0) this.go(this.#hour[at]);
	}

	/** -1 for none. */
	#point(at) {
		this.#bars.querySelector(".pointed")?.classList.remove("pointed");
		this.#bars.children[at]?.classList.add("pointed");
		this.#at = at;
		const all = this.#hour.reduce((sum, { total }) => sum + total, 0);
		const text = at < 0 ? `last hour: ${plural(all, "prompt")}` : describe(this.#hour[at]);
		say(this.#readout, text);
		mark(this.place, "aria-valuenow", String(at < 0 ? this.#hour.length - 1 : at));
		mark(this.place, "aria-valuetext", text);
	}
}

function describe({ ms, total, parts }) {
	const names = namesOf(parts.map(([path]) => path));
	const named = parts.slice(0, NAMED).map(([path, count]) => `${brief(names.get(path))} ${number(count)}`);
	if (parts.length > NAMED) named.push(`${parts.length - NAMED} more`);
	return [`${clock(ms)}: ${plural(total, "prompt")}`, ...named].join(" · ");
}

function column(parts, x, scale) {
	let y = HEIGHT;
	const rect = (name, y, height, hue) => el("rect", { class: name, x, y, width: BAR, height, "--hue": hue });
	const bars = parts.map(([project, count]) => rect("bar", (y -= count * scale), count * scale, hue(project)));
	return el("g", {}, rect("back", 0, HEIGHT, 0), rect("ground", HEIGHT - 1, 1, 0), bars);
}
