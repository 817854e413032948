// @ts-check
/**
 * JSON as it is spelled: tokens, an indented text, a tree.
 *
 * Works on the text and not on `JSON.parse`'s values, so that numbers keep their digits, keys their
 * order, and a key that comes twice is shown twice. Nothing here recurses: nesting is the writer's choice.
 *
 * Invariant: the text is JSON already (the server or `JSON.stringify` says so); else it throws.
 */

const INDENT = "  ";
const BARE = /[^\s,:[\]{}"]+/y;

/** @param {string} text @returns {Generator<string>} punctuation, strings with their quotes, bare words */
export function* tokens(text) {
  for (let at = 0; at < text.length; ) {
    const token = tokenAt(text, at);
    at += token.length;
    if (token.trim()) yield token;
  }
}

/** @param {string} text @param {number} at */
function tokenAt(text, at) {
  if (text[at] === '"') return text.slice(at, stringEnd(text, at));
  BARE.lastIndex = at;
  return BARE.exec(text)?.[0] ?? text[at];
}

/** @param {string} text @param {number} start of its opening quote */
function stringEnd(text, start) {
  for (let quote = start; (quote = text.indexOf('"', quote + 1)) > 0; ) {
    let slash = quote;
    while (text[slash - 1] === "\\") slash -= 1;
    if ((quote - slash) % 2 === 0) return quote + 1;
  }
  throw new SyntaxError("a string without its end");
}

/** @param {string} text */
export function pretty(text) {
  let [out, depth, before] = ["", 0, ""];
  const line = () => "\n" + INDENT.repeat(depth);
  for (const token of tokens(text)) {
    const closes = token === "}" || token === "]";
    const opened = before === "{" || before === "[";
    if (closes) depth -= 1;
    if ((closes && !opened) || (!closes && (opened || before === ","))) out += line();
    out += token === ":" ? ": " : token;
    if (token === "{" || token === "[") depth += 1;
    before = token;
  }
  return out;
}

/**
 * @typedef {object} Branch
 * @property {"object" | "array" | "string" | "number" | "word"} kind
 * @property {string} text as spelled; of an object or array, the opening bracket
 * @property {string} [key] as spelled, with its quotes
 * @property {Branch[]} items
 */

/** @param {string} text @returns {Branch} */
export function tree(text) {
  /** @type {Branch} */
  const root = { kind: "array", text: "[", items: [] };
  const open = [root];
  /** @type {string[]} */
  let held = [];
  for (const token of tokens(text)) {
    const parent = open[open.length - 1];
    if (token === "}" || token === "]") open.pop();
    else if (token === ":" || token === ",") continue;
    else if (parent.kind === "object" && held.length === 0) held = [token];
    else {
      const branch = { kind: kindOf(token), text: token, key: held.pop(), items: [] };
      parent.items.push(branch);
      if (token === "{" || token === "[") open.push(branch);
    }
  }
  if (open.length !== 1 || root.items.length !== 1) throw new SyntaxError("brackets that do not match");
  return root.items[0];
}

/** @param {string} token @returns {Branch["kind"]} */
function kindOf(token) {
  if (token === "{") return "object";
  if (token === "[") return "array";
  if (token[0] === '"') return "string";
  return /^[-\d]/.test(token) ? "number" : "word";
}
