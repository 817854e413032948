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

/** Keys that each line has, and which are words of many prompts. */
const KEYS = /"(?:display|pastedContents|timestamp|project|sessionId)"\s*:/g;

/** In lower case and as long as before, which "İ" alone would not be. */
export const fold = (text) => text.replaceAll("İ", "i").toLowerCase();

const words = (q) => Array.from(fold(q).matchAll(WORD), ([word]) => word.replace(/^(-?)"([^"]+)"?$/, "$1$2"));
const isUnwanted = (word) => /^-[^-]/.test(word);

/** As `fold` gives them. */
export const wantedWords = ({ q }) => words(q).filter((word) => !isUnwanted(word));

/** Every word must occur, `-word` must not; `--word` is a word. @returns {(item: Item) => boolean} */
export function matcher({ q, ...wanted }) {
	const all = words(q);
	const fields = Object.entries(wanted).filter(([, value]) => value);
	return (item) => fields.every(([field, value]) => item[field] === value) && all.every((word) => fits(item, word));
}

function fits(item, word) {
	const { rawLine = "", parseError } = item.event.data ?? {};
	item.haystack ??= fold([item.text, item.project, item.session, parseError, rawLine.replace(KEYS, "")].join("\n"));
	return isUnwanted(word) ? !item.haystack.includes(word.slice(1)) : item.haystack.includes(word);
}
