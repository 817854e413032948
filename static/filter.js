/**
 * The filter of rows, and its form in the address: behind `#`, which browsers do not send, so that
 * no server log has it.
 * Invariant: pure.
 */

export const EVERYTHING = { q: "", kind: "", machine: "", project: "", status: "", session: "" };

/**
 * @param {Record<string, string>} fields  those to look for
 * @returns {any}
 */
export function fromHash(hash, fields = EVERYTHING) {
	const given = new URLSearchParams(hash.slice(1));
	const found = Object.keys(fields).map((name) => [name, given.get(name) ?? ""]);
	return Object.fromEntries(found);
}

/** Returns the name before the filter, if there is one: `sessions` of `#sessions&q=a`. */
export function viewOf(hash) {
	const [name] = hash.slice(1).split("&");
	return name.includes("=") ? "" : name;
}

/** Returns an empty text for no view and the filter that lets everything pass. */
export function toHash(filter, view = "") {
	const set = Object.entries(filter).filter(([, value]) => value);
	const parts = [view, String(new URLSearchParams(set))].filter(Boolean);
	return parts.length ? `#${parts.join("&")}` : "";
}

/** A word, or a phrase in quotes, whose closing quote may not be typed yet. */
const WORD = /-?"[^"]+(?:"|$)|\S+/g;

/** Keys of every line; many prompts contain them as words. */
const COMMON_KEYS = /"(?:display|pastedContents|timestamp|project|sessionId)"\s*:/g;

/** Returns a text of the same length. "İ" alone would become two characters. */
export const lowercase = (text) => text.replaceAll("İ", "i").toLowerCase();

function wordsOf(q) {
	const unquote = ([word]) => word.replace(/^(-?)"([^"]+)"?$/, "$1$2");
	return Array.from(lowercase(q).matchAll(WORD), unquote);
}

/** `--word` is a word like any other. */
const isUnwanted = (word) => /^-[^-]/.test(word);

/** Returns the words that must occur, in lower case. */
export const wantedWords = ({ q }) => wordsOf(q).filter((word) => !isUnwanted(word));

/**
 * @param {any} filter
 * @param {(item: any) => string} textOf  the text that is searched, in lower case
 * @returns {(item: any) => boolean} every word occurs, no `-word` does, the fields are equal
 */
export function matcher({ q, ...wanted }, textOf = haystackOf) {
	const words = wordsOf(q);
	const fields = Object.entries(wanted).filter(([, value]) => value);
	const hasFields = (item) => fields.every(([field, value]) => item[field] === value);
	return (item) => hasFields(item) && words.every((word) => matches(textOf(item), word));
}

function matches(text, word) {
	return isUnwanted(word) ? !text.includes(word.slice(1)) : text.includes(word);
}

const haystackOf = (item) => (item.haystack ??= haystack(item));

function haystack({ text, project, session, machine, event }) {
	const { rawLine = "", parseError, changes } = event.data ?? {};
	const line = rawLine.replace(COMMON_KEYS, "");
	const who = [project, session, machine];
	const all = [text, ...who, parseError, line, changes && JSON.stringify(changes)];
	return lowercase(all.join("\n"));
}
