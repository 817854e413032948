/**
 * JSON as it is spelled: numbers keep their digits, keys their order and their duplicates.
 * Invariant: pure, and without recursion, since nesting has no limit.
 * Known weakness: not every text that is not JSON throws a SyntaxError.
 */

const BARE = /[^\s,:[\]{}"]+/y;

function* tokens(text) {
	for (let at = 0; at < text.length; ) {
		const token = tokenAt(text, at);
		at += token.length;
		if (token.trim()) yield token;
	}
}

function tokenAt(text, at) {
	if (text[at] === '"') return text.slice(at, stringEnd(text, at));
	BARE.lastIndex = at;
	return BARE.exec(text)?.[0] ?? text[at];
}

function stringEnd(text, start) {
	for (let quote = start; (quote = text.indexOf('"', quote + 1)) > 0; ) {
		let slash = quote;
		while (text[slash - 1] === "\\") slash -= 1;
		if ((quote - slash) % 2 === 0) return quote + 1;
	}
	throw new SyntaxError("string without an end");
}

const isOpening = (token) => token === "{" || token === "[";
const isClosing = (token) => token === "}" || token === "]";

export function pretty(text) {
	let [out, depth, before] = ["", 0, ""];
	for (const token of tokens(text)) {
		if (isClosing(token)) depth -= 1;
		const isBreak = isClosing(token) !== isOpening(before) || before === ",";
		if (isBreak) out += "\n" + "  ".repeat(depth);
		out += token === ":" ? ": " : token;
		if (isOpening(token)) depth += 1;
		before = token;
	}
	return out;
}

/** @returns {import("./types.js").JsonNode} */
export function tree(text) {
	const root = nodeOf("[");
	const path = [root];
	let key;
	for (const token of tokens(text)) {
		const parent = path.at(-1);
		if (isClosing(token)) path.pop();
		else if (token === ":" || token === ",") continue;
		else if (parent.kind === "object" && key === undefined) key = token;
		else {
			const node = nodeOf(token, key);
			key = undefined;
			parent.items.push(node);
			if (isOpening(token)) path.push(node);
		}
	}
	if (path.length !== 1 || root.items.length !== 1) throw new SyntaxError("unbalanced brackets");
	return root.items[0];
}

const KINDS = { "{": "object", "[": "array", '"': "string" };

/** @returns {any} */
function nodeOf(text, key = undefined) {
	const kind = KINDS[text[0]] ?? (/^[-\d]/.test(text) ? "number" : "word");
	return { kind, text, key, items: [] };
}
