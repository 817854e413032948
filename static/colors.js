/**
 * Colours of sessions and projects, in order of appearance and remembered by the browser.
 * Names are stored as hashes, so that no path leaves the page.
 * Invariant: the first `COLORS` of the names that are shown have different colours.
 */

const HUES = 12;
/** A step of seven twelfths keeps colours that are assigned one after the other far apart. */
const STEP = 7;
export const COLORS = 2 * HUES;
const REMEMBERED = 500;

export class Colors {
	/** @type {Map<string, number>} */
	#colors = new Map();
	/** A view that has drawn at another count has colours to renew. */
	changes = 0;

	constructor(storage) {
		this.storage = storage;
		try {
			this.#colors = new Map(JSON.parse(storage.claudeLiveColors));
		} catch {
			// Nothing is remembered yet.
		}
	}

	/**
	 * Assigns the colours that are missing. Of two names with one colour, the later gets another.
	 * @param {string[]} names  those that are shown, the newest first, each once
	 */
	assign(names) {
		const keys = names.slice(0, COLORS).map(hash);
		const known = keys.filter((key) => this.#colors.has(key));
		const owners = new Map(known.reverse().map((key) => [this.#colors.get(key), key]));
		const uncoloured = keys.filter((key) => owners.get(this.#colors.get(key)) !== key);
		if (uncoloured.some((key) => this.#colors.has(key))) this.changes += 1;
		let color = 0;
		for (const key of uncoloured) {
			while (owners.has(color)) color += 1;
			owners.set(color, key);
			this.#colors.set(key, color);
		}
		const newest = [...this.#colors].slice(-REMEMBERED);
		if (uncoloured.length) this.storage.claudeLiveColors = JSON.stringify(newest);
	}

	/** Returns the custom properties of a name's colour. */
	of(name) {
		const key = hash(name);
		const color = this.#colors.get(key) ?? parseInt(key, 36) % COLORS;
		const tone = Math.floor(color / HUES);
		// Hues of the second tone are between those of the first.
		return { "--hue": (360 * (((color * STEP) % HUES) + tone / 2)) / HUES, "--tone": tone };
	}
}

function hash(name) {
	// FNV-1a.
	let hash = 2166136261;
	for (const char of name) hash = Math.imul(hash ^ Number(char.codePointAt(0)), 16777619);
	return (hash >>> 0).toString(36);
}
