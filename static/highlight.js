/**
 * Marks what was searched for where it shows, without a change to any node.
 * See https://www.w3.org/TR/css-highlight-api-1/; in a browser without it, nothing is marked.
 * Invariant: what is not shown, such as a masked secret, cannot be marked.
 */
import { fold } from "./filter.js";

/** As in the style sheet. */
const NAME = "found";
const PLACES = ".said, .pick, .why, .whole, .json, pre";
/** In one text and in all, from the newest row down; of more the page would only get slow. */
const TEXT_MARKS = 20;
const MARKS = 10_000;
/** One letter is everywhere, unless it is a word: Chinese and the like begin here. */
const isTelling = (word) => word.length > 1 || word >= "\u2e80";

/** @param {Element} root @param {string[]} words as `fold` gives them */
export function highlight(root, words) {
	if (!globalThis.Highlight) return;
	const marks = new Highlight();
	const telling = words.filter(isTelling);
	for (const place of telling.length ? root.querySelectorAll(PLACES) : []) {
		const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
		for (let node; (node = texts.nextNode()); ) add(marks, node, telling);
	}
	CSS.highlights.set(NAME, marks);
}

function add(marks, node, words) {
	const text = fold(node.data);
	const most = Math.min(marks.size + TEXT_MARKS, MARKS);
	for (const word of words) {
		for (let at = text.indexOf(word); at >= 0 && marks.size < most; at = text.indexOf(word, at + word.length)) {
			marks.add(new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + word.length }));
		}
	}
}
