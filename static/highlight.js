/**
 * Marks what was searched for where it shows, without a change to any node.
 * See https://www.w3.org/TR/css-highlight-api-1/; in a browser without it, nothing is marked.
 * Invariant: what is not shown, such as a masked secret, cannot be marked.
 */

/** As in the style sheet. */
const NAME = "found";
/** Of these, from the newest row down; of more the page would only get slow. */
const PLACES = ".said, .pick, .whole, .json, pre";
const MOST = 2_000;

/** @param {Element} root @param {string[]} words in lower case */
export function highlight(root, words) {
	if (!globalThis.Highlight) return;
	const marks = new Highlight();
	for (const range of words.length ? found(root, words) : []) if (marks.add(range).size >= MOST) break;
	CSS.highlights.set(NAME, marks);
}

function* found(root, words) {
	for (const place of root.querySelectorAll(PLACES)) {
		const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
		for (let node; (node = texts.nextNode()); ) yield* within(node, words);
	}
}

/** A few letters are longer in lower case; a text with one is left as it is. */
function* within(node, words) {
	const text = node.data.toLowerCase();
	if (text.length !== node.length) return;
	const range = (startOffset, endOffset) => new StaticRange({ startContainer: node, startOffset, endContainer: node, endOffset });
	for (const word of words) {
		for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) yield range(at, at + word.length);
	}
}
