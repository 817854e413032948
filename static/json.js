/**
 * JSON as it is spelled: numbers keep their digits, keys their order and their doubles.
 * Invariant: pure, without recursion, as nesting is the writer's choice. What is no JSON may throw.
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
	throw new SyntaxError("a string without its end");
}

const opens = (token) => token === "{" || token === "[";
const closes = (token) => token === "}" || token === "]";

export function pretty(text) {
	let [out, depth, before] = ["", 0, ""];
	for (const token of tokens(text)) {
		if (closes(token)) depth -= 1;
		if (closes(token) ? !opens(before) : opens(before) || before === ",") out += "\n" + "  ".repeat(depth);
		out += token === ":" ? ": " : token;
		if (opens(token)) depth += 1;
		before = token;
	}
	return out;
}

/** @returns {Branch} */
export function tree(text) {
	const root = branch("[");
	const path = [root];
	let key = "";
	for (const token of tokens(text)) {
		const parent = path.at(-1);
		if (closes(token)) path.pop();
		else if (token === ":" || token === ",") continue;
		else if (parent.kind === "object" && !key) key = token;
		else {
			const node = branch(token, key);
			key = "";
			parent.items.push(node);
			if (opens(token)) path.push(node);
		}
	}
	if (path.length !== 1 || root.items.length !== 1) throw new SyntaxError("brackets that do not match");
	return root.items[0];
}

/** @returns {any} */
function branch(text, key = "") {
	const kind = { "{": "object", "[": "array", '"': "string" }[text[0]] ?? (/^[-\d]/.test(text) ? "number" : "word");
	return { kind, text, key, items: [] };
}
