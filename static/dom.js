/**
 * The one place that makes nodes.
 * Invariant: what comes from an event reaches the page as text or as an attribute's value, never as markup.
 */

const SVG = new Set(["svg", "g", "rect"]);

/**
 * Props are attributes and `--custom-properties`; what is false is left out.
 * @param {string} tag @param {Record<string, any>} [props] @param {...any} children @returns {any}
 */
export function el(tag, props = {}, ...children) {
	const node = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
	for (const [name, value] of Object.entries(props)) {
		if (name.startsWith("--")) node.style.setProperty(name, value);
		else if (value !== false) node.setAttribute(name, value);
	}
	node.append(...flat(children));
	return node;
}

export const flat = (children) => children.flat(Infinity).filter(Boolean);

/** Writes only what differs: an unchanged page costs no layout. @param {Element} node */
export function say(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

/** The same for an attribute; false removes it. @param {Element} node */
export function mark(node, name, value) {
	if (value === false) node.removeAttribute(name);
	else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** The page's own elements, by the last word of their ids. @returns {Record<string, any>} */
export function parts() {
	const named = document.querySelectorAll("[id*=live-]");
	return Object.fromEntries(Array.from(named, (node) => [node.id.split("-").pop(), node]));
}
