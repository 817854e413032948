/**
 * Marks the words of a search where they show, without changing a node.
 * See https://www.w3.org/TR/css-highlight-api-1/. Browsers without it mark nothing.
 */
import { lowercase } from "./filter.js";

/** As in the style sheet. */
const NAME = "found";
const PLACES = ".said, .pick, .why, .whole, .changes, .json, pre";
/** Most marks of a text, and of all from the newest row down; more would slow the page. */
const TEXT_MARKS = 20;
const MARKS = 10_000;
/** Single letters are everywhere; from U+2E80 on they are words, as in Chinese. */
const isTelling = (word) => word.length > 1 || word >= "\u2e80";

/** @param {string[]} words  in lower case */
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
	const text = lowercase(node.data);
	const most = Math.min(marks.size + TEXT_MARKS, MARKS);
	for (const word of words) {
		for (let end = 0, at; (at = text.indexOf(word, end)) >= 0 && marks.size < most; ) {
			end = at + word.length;
			const [startContainer, endContainer] = [node, node];
			const [startOffset, endOffset] = [at, end];
			marks.add(new StaticRange({ startContainer, startOffset, endContainer, endOffset }));
		}
	}
}
