// @ts-check
/**
 * The last hour as sixty bars, coloured by project.
 *
 * A slider to the keyboard: the arrows choose a minute, Enter goes to it.
 *
 * Invariant: draws what `Tally.hour` says and keeps nothing but the minute pointed at.
 */
import { el, say, svg } from "./dom.js";
import { clip, clock, hue, lastSegment, plural } from "./format.js";
import { masked } from "./secrets.js";

/** @typedef {import("./tally.js").Minute} Minute */

/** In units of the drawing, which is stretched to its place. */
const STEP = 10;
const BAR = 8;
const HEIGHT = 48;
/** A scale that ends lower would make a lone prompt a tower. */
const LEAST_TOP = 4;
const NAMED = 4;

export class Chart {
  /** @type {Minute[]} */
  #hour = [];
  #at = -1;
  #drawn = "";
  #readout = el("p", { class: "readout" });
  #canvas = svg("svg", { "aria-hidden": "true", preserveAspectRatio: "none" });

  /** @param {HTMLElement} place @param {(ms: number) => void} go to the minute that ends then */
  constructor(place, go) {
    this.place = place;
    this.go = go;
    place.append(this.#readout, this.#canvas);
    this.#canvas.addEventListener("pointermove", (event) => this.#point(this.#index(event)));
    place.addEventListener("pointerleave", () => this.#point(-1));
    this.#canvas.addEventListener("click", (event) => this.#jump(this.#index(event)));
    place.addEventListener("keydown", (event) => this.#key(event));
    place.addEventListener("blur", () => this.#point(-1));
  }

  /** @param {Minute[]} hour oldest first */
  draw(hour) {
    this.#hour = hour;
    const drawn = JSON.stringify(hour);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#canvas.setAttribute("viewBox", `0 0 ${hour.length * STEP} ${HEIGHT}`);
    const top = Math.max(LEAST_TOP, ...hour.map(({ total }) => total));
    this.#canvas.replaceChildren(...hour.map((minute, at) => column(minute, at, top)));
    this.#point(this.#at);
  }

  /** @param {PointerEvent | MouseEvent} event */
  #index({ clientX }) {
    const { left, width } = this.#canvas.getBoundingClientRect();
    return Math.min(this.#hour.length - 1, Math.max(0, Math.floor(((clientX - left) / width) * this.#hour.length)));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const last = this.#hour.length - 1;
    const at = this.#at < 0 ? last : this.#at;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowDown: at - 1, ArrowUp: at + 1, Home: 0, End: last, Enter: at }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#point(Math.min(last, Math.max(0, to)));
    if (event.key === "Enter") this.#jump(at);
  }

  /** @param {number} at */
  #jump(at) {
    this.go(this.#hour[at].minute + 60_000);
  }

  /** @param {number} at -1 for none */
  #point(at) {
    this.#canvas.children[this.#at]?.classList.remove("pointed");
    this.#at = at;
    this.#canvas.children[at]?.classList.add("pointed");
    const text = at < 0 ? this.#summary() : minuteText(this.#hour[at]);
    say(this.#readout, text);
    this.place.setAttribute("aria-valuenow", String(at < 0 ? this.#hour.length - 1 : at));
    this.place.setAttribute("aria-valuetext", text);
  }

  #summary() {
    const total = this.#hour.reduce((sum, minute) => sum + minute.total, 0);
    return `last hour: ${plural(total, "prompt")}`;
  }
}

/** @param {Minute} minute */
function minuteText({ minute, total, parts }) {
  const named = parts.slice(0, NAMED).map(([project, count]) => `${clip(masked(lastSegment(project)), 24) || "no project"} ${count}`);
  const rest = parts.length > NAMED ? [`${parts.length - NAMED} more`] : [];
  return `${clock(minute)}: ${plural(total, "prompt")}${total ? " · " : ""}${[...named, ...rest].join(", ")}`;
}

/** @param {Minute} minute @param {number} at @param {number} top */
function column({ parts }, at, top) {
  let y = HEIGHT;
  const bar = (/** @type {[string, number]} */ [project, count]) => {
    const height = (count / top) * (HEIGHT - 2);
    return svg("rect", { class: "bar", x: at * STEP + 1, y: (y -= height), width: BAR, height, "--hue": hue(project) });
  };
  return svg("g", {},
    svg("rect", { class: "back", x: at * STEP, y: 0, width: STEP, height: HEIGHT }),
    svg("rect", { class: "ground", x: at * STEP + 1, y: HEIGHT - 1, width: BAR, height: 1 }),
    ...parts.map(bar));
}
