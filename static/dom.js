// @ts-check
/**
 * The one place that makes nodes.
 *
 * Invariant: whatever comes from an event reaches the page as text or as an attribute's value,
 * never as markup; nothing here or elsewhere parses HTML.
 */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | false | null | undefined} Child */
/** @typedef {Record<string, any>} Props `class`, `onclick`…, `--custom-property`, else attributes; false and null are left out */

/** @param {string} tag @param {Props} [props] @param {...Child} children */
export function el(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** @param {string} tag @param {Props} [props] @param {...Child} children */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** @template {HTMLElement | SVGElement} T @param {T} node @param {Props | undefined} props @param {Child[]} children */
function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) set(node, name, value);
  for (const child of children) {
    if (child || child === 0) node.append(/** @type {Node | string} */ (child));
  }
  return node;
}

/** @param {HTMLElement | SVGElement} node @param {string} name @param {any} value */
function set(node, name, value) {
  if (value === false || value === null || value === undefined) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name.startsWith("--")) node.style.setProperty(name, value);
  else node.setAttribute(name, value === true ? "" : value);
}

/** Writes only what differs, so that an unchanged page costs no layout. @param {Element} node @param {string} text */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {Element} node @param {string} name @param {string | boolean} value */
export function mark(node, name, value) {
  if (value === false) return node.removeAttribute(name);
  const text = value === true ? "" : value;
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** @template {HTMLElement} [T=HTMLElement] @param {string} name the part of the id after `claude-live-` */
export function part(name) {
  return /** @type {T} */ (document.getElementById(`claude-live-${name}`));
}
