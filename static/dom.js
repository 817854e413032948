/**
 * Creates and updates nodes.
 * Invariant: values of events reach the page as text or as an attribute's value, never as markup.
 */

const SVG_TAGS = ["svg", "g", "rect"];
const NAMESPACES = { svg: "http://www.w3.org/2000/svg", html: "http://www.w3.org/1999/xhtml" };

/**
 * Creates an element. Props are attributes and `--custom-properties`; false ones are left out, and
 * so are falsy children, which can be nested arrays.
 * @returns {any}
 */
export function el(tag, props = {}, ...children) {
	const namespace = SVG_TAGS.includes(tag) ? NAMESPACES.svg : NAMESPACES.html;
	const node = document.createElementNS(namespace, tag);
	for (const [name, value] of Object.entries(props)) {
		if (name.startsWith("--")) setStyle(node, { [name]: value });
		else setAttr(node, name, value);
	}
	node.append(...flat(children));
	return node;
}

export const flat = (children) => children.flat(Infinity).filter(Boolean);

export function setStyle(node, properties) {
	for (const [name, value] of Object.entries(properties)) node.style.setProperty(name, value);
}

/** Writes only a difference: an unchanged page needs no layout. */
export function setText(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

/** False removes the attribute. */
export function setAttr(node, name, value) {
	if (value === false) node.removeAttribute(name);
	else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** In this time a visible page has a frame, and a hidden one has none. */
const FRAME_MS = 1_000;

/** Waits until the page is painted as it is now. */
export function painted() {
	return new Promise((resume) => {
		requestAnimationFrame(() => setTimeout(resume));
		setTimeout(resume, FRAME_MS);
	});
}

/** Makes these the children of a node, in this order. Those that stay in place are not touched. */
export function place(parent, wanted) {
	const kept = new Set(wanted);
	for (const old of [...parent.children]) if (!kept.has(old)) old.remove();
	let next = parent.firstElementChild;
	for (const node of wanted) {
		if (node === next) next = node.nextElementSibling;
		else parent.insertBefore(node, next);
	}
}

/** Offers values in a menu, which does not change while it is used. */
export function setChoices(select, values, labelOf, chosen) {
	if (String(values) !== select.dataset.values && select !== document.activeElement) {
		const options = values.map((value) => el("option", { value }, labelOf(value)));
		select.replaceChildren(...options);
		select.dataset.values = values;
	}
	select.value = chosen;
	setAttr(select, "data-chosen", chosen !== "");
}

/** Returns the elements whose ids begin with a prefix, by the last words of their ids. */
export function parts(...prefixes) {
	const named = document.querySelectorAll(prefixes.map((prefix) => `[id^=${prefix}]`).join());
	return Object.fromEntries(Array.from(named, (node) => [node.id.split("-").pop(), node]));
}
