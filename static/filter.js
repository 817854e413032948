// @ts-check
/**
 * Which rows are wanted, and how that is written into the address.
 *
 * The address's hash holds it, not its query: what a person looks for stays out of server logs.
 *
 * Invariant: pure.
 */

/** @typedef {import("./format.js").Item} Item */
/** @typedef {{ q: string, kind: string, project: string, session: string }} Filter empty strings ask for nothing */

/** @type {Readonly<Filter>} */
export const EVERYTHING = { q: "", kind: "", project: "", session: "" };

/** @param {string} hash of an address @returns {Filter} */
export function fromHash(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  return { q: given.get("q") ?? "", kind: given.get("kind") ?? "", project: given.get("project") ?? "", session: given.get("session") ?? "" };
}

/** @param {Filter} filter */
export function toHash(filter) {
  const set = Object.entries(filter).filter(([, value]) => value);
  return set.length ? `#${new URLSearchParams(set)}` : "";
}

/** @param {Filter} filter */
export function isActive(filter) {
  return toHash(filter) !== "";
}

/** Every word must occur, `-word` must not. @param {Filter} filter @returns {(item: Item) => boolean} */
export function matcher({ q, kind, project, session }) {
  const terms = q.toLowerCase().split(/\s+/).filter(Boolean);
  const unwanted = terms.filter((term) => term.length > 1 && term.startsWith("-")).map((term) => term.slice(1));
  const wanted = terms.filter((term) => term.length < 2 || !term.startsWith("-"));
  return (item) =>
    (!kind || item.kind === kind) &&
    (!project || item.project === project) &&
    (!session || item.session === session) &&
    (terms.length === 0 || (wanted.every((term) => haystack(item).includes(term)) && !unwanted.some((term) => haystack(item).includes(term))));
}

/** @param {Item} item */
function haystack(item) {
  item.haystack ??= [item.text, item.project, item.session, item.event.data?.rawLine].join("\n").toLowerCase();
  return item.haystack;
}
