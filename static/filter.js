/**
 * Which rows are wanted, and how that is written into the address: behind `#`, so that no server log has it.
 * Invariant: pure.
 */

export const EVERYTHING = { q: "", kind: "", project: "", session: "" };

/** @returns {any} a filter */
export function fromHash(hash) {
	const given = new URLSearchParams(hash.slice(1));
	return Object.fromEntries(Object.keys(EVERYTHING).map((name) => [name, given.get(name) ?? ""]));
}

export function toHash(filter) {
	const set = Object.entries(filter).filter(([, value]) => value);
	return set.length ? `#${new URLSearchParams(set)}` : "";
}

/** A word, or what stands in quotes, which the end may still lack. */
const WORD = /-?"[^"]+(?:"|$)|\S+/g;

const words = (q) => Array.from(q.toLowerCase().matchAll(WORD), ([word]) => word.replace(/^(-?)"([^"]+)"?$/, "$1$2"));
const isUnwanted = (word) => /^-./.test(word);

/** In lower case. */
export const wantedWords = ({ q }) => words(q).filter((word) => !isUnwanted(word));

/** Every word must occur, `-word` must not. @returns {(item: Item) => boolean} */
export function matcher({ q, ...wanted }) {
	const all = words(q);
	const fields = Object.entries(wanted).filter(([, value]) => value);
	return (item) => fields.every(([field, value]) => item[field] === value) && all.every((word) => fits(item, word));
}

function fits(item, word) {
	item.haystack ??= [item.text, item.project, item.session, item.event.data?.rawLine].join("\n").toLowerCase();
	return isUnwanted(word) ? !item.haystack.includes(word.slice(1)) : item.haystack.includes(word);
}
