// @ts-check
/**
 * Events as rows of the table.
 *
 * Rows are kept and moved past, never rebuilt: what is open, focused or selected stays so while others arrive.
 *
 * Invariant: every text of an event passes through `say` here or through `el`'s children.
 */
import { el, mark, say } from "./dom.js";
import { KINDS, ago, bytes, clip, clock, exact, firstLines, hue, lastSegment, pieces, plural, shortId, verbatim } from "./format.js";
import { pretty, tree } from "./json.js";
import { masked, tells } from "./secrets.js";

/** @typedef {import("./format.js").Item} Item */
/** @typedef {import("./format.js").Piece} Piece */
/** @typedef {import("./json.js").Branch} Branch */
/** @typedef {{ tr: HTMLElement, time: HTMLElement, detail?: HTMLElement }} Row */

/** Strings in the tree, pasted texts: what is longer is cut until "show all" is asked for. */
const STRING_CHARS = 400;
const TEXT_CHARS = 2_000;
/** More items than this are not drawn before they are asked for, nor what is nested deeper. */
const ITEMS = 100;
const DEPTH = 4;

/** What a click puts in its place. @type {WeakMap<Element, { holder: HTMLElement, make: () => Node[] }>} */
const hidden = new WeakMap();

export class Table {
  /** @type {Map<Item, Row>} */
  #rows = new Map();
  /** @type {WeakMap<Element, Item>} */
  #items = new WeakMap();
  /** @type {Item[]} */
  shown = [];
  /** @type {Item | undefined} the one row that Tab reaches */
  #current;

  /** @param {HTMLElement} body @param {(field: "project" | "session", value: string) => void} pick */
  constructor(body, pick) {
    this.body = body;
    this.pick = pick;
    body.addEventListener("click", (event) => this.#click(event));
    body.addEventListener("focusin", ({ target }) => this.#setCurrent(this.#itemOf(target)));
  }

  /** @param {Item[]} items newest first @param {number} now @param {number} left when the last visit ended, 0 for never */
  show(items, now, left) {
    const at = this.shown.indexOf(/** @type {Item} */ (this.#focused()));
    const rows = items.map((item) => this.#row(item, now));
    this.shown = items;
    this.#place(rows.flatMap(({ tr, detail }) => (detail ? [tr, detail] : [tr])));
    this.#join(rows, left);
    for (const item of this.#rows.keys()) if (!this.#rows.get(item)?.tr.isConnected) this.#rows.delete(item);
    if (at >= 0 && !this.#focused()) this.focus(Math.min(at, items.length - 1));
    if (!this.#current || !this.#rows.has(this.#current)) this.#setCurrent(items[0]);
  }

  /** @param {Item} item @param {number} now @returns {Row} */
  #row(item, now) {
    const row = this.#rows.get(item) ?? makeRow(item);
    this.#rows.set(item, row);
    this.#items.set(row.tr, item);
    mark(row.tr, "data-event-id", String(item.id));
    say(row.time, ago(now - item.ms));
    return row;
  }

  /** @param {HTMLElement[]} wanted */
  #place(wanted) {
    const keep = new Set(wanted);
    for (const old of [...this.body.children]) if (!keep.has(/** @type {HTMLElement} */ (old))) old.remove();
    let next = this.body.firstElementChild;
    for (const node of wanted) {
      if (node === next) next = next.nextElementSibling;
      else this.body.insertBefore(node, next);
    }
  }

  /** Prompts of one session in a row read as one conversation. @param {Row[]} rows @param {number} left */
  #join(rows, left) {
    const items = this.shown;
    const old = left ? items.findIndex(({ ms }) => ms <= left) : -1;
    rows.forEach(({ tr }, at) => {
      const marked = at === old && at > 0;
      mark(tr, "data-joined", !marked && at > 0 && items[at].session !== "" && items[at - 1].session === items[at].session);
      mark(tr, "data-left", marked && `you were last here at ${clock(left)}`);
    });
  }

  /** @param {number} now */
  tick(now) {
    for (const [item, { time }] of this.#rows) say(time, ago(now - item.ms));
  }

  /** @param {EventTarget | null} node */
  #itemOf(node) {
    const tr = /** @type {Element} */ (node).closest("tr");
    const own = tr?.classList.contains("detail") ? tr.previousElementSibling : tr;
    return own ? this.#items.get(own) : undefined;
  }

  #focused() {
    const node = document.activeElement;
    return node && this.body.contains(node) ? this.#itemOf(node) : undefined;
  }

  /** @param {Item | undefined} item */
  #setCurrent(item) {
    if (item === this.#current) return;
    this.#reachable(this.#current, -1);
    this.#reachable((this.#current = item), 0);
  }

  /** @param {Item | undefined} item @param {number} index */
  #reachable(item, index) {
    const row = item && this.#rows.get(item);
    for (const button of row?.tr.querySelectorAll("button") ?? []) button.tabIndex = index;
  }

  /** @param {number} at an index into what is shown */
  focus(at) {
    const row = this.#rows.get(this.shown[at]);
    /** @type {HTMLElement | null | undefined} */ (row?.tr.querySelector(".open"))?.focus();
    row?.tr.scrollIntoView({ block: "nearest" });
  }

  /** @param {number} by rows down */
  move(by) {
    const at = this.#current ? this.shown.indexOf(this.#current) : -1;
    const first = at < 0 || !this.#focused();
    this.focus(first ? Math.max(at, 0) : Math.min(Math.max(at + by, 0), this.shown.length - 1));
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const target = /** @type {Element} */ (event.target);
    const item = this.#itemOf(target);
    const button = target.closest("button");
    const field = button?.getAttribute("data-pick");
    if (!item) return;
    if (button && hidden.has(button)) return reveal(button);
    if (field === "project" || field === "session") return this.pick(field, item[field]);
    if (button?.dataset.copy) return copy(button, button.dataset.copy === "raw" ? raw(item) : pretty(raw(item)));
    if (button?.classList.contains("open") || (!target.closest(".detail, a, button") && !getSelection()?.toString())) this.toggle(item);
  }

  /** @param {Item} item */
  toggle(item) {
    const row = this.#rows.get(item);
    if (!row) return;
    item.open = !item.open;
    mark(row.tr, "data-open", item.open);
    row.tr.querySelector(".open")?.setAttribute("aria-expanded", String(item.open));
    row.detail?.remove();
    row.detail = item.open ? makeDetail(item) : undefined;
    if (row.detail) row.tr.after(row.detail);
  }
}

/** @param {Item} item @returns {Row} */
function makeRow(item) {
  const { kind, project, session, event } = item;
  const [sign, name] = KINDS.get(kind) ?? ["·", kind];
  const time = el("time", { datetime: event.ts, title: exact(item.ms) });
  const cells = [
    cell("when", time),
    cell("kind", el("span", { class: "sign", title: name, "aria-hidden": "true" }, sign), el("span", { class: "sr" }, name)),
    cell("project", project && pick("project", masked(project), lastSegment(project), hue(project))),
    cell("session", session && pick("session", masked(session), shortId(session), hue(session))),
    cell("what", ...said(item)),
    cell("more", el("button", { class: "open", type: "button", tabindex: -1, "aria-expanded": "false", "aria-label": `Details of ${name}` })),
  ];
  const tr = el("tr", { role: "row", "data-kind": kind, "--hue": session && hue(session) }, ...cells);
  return { tr, time };
}

/** @param {string} name @param {...import("./dom.js").Child} children */
function cell(name, ...children) {
  return el("td", { class: name, role: "cell" }, ...children);
}

/** @param {string} field @param {string} title @param {string} label @param {number} degrees */
function pick(field, title, label, degrees) {
  return el("button", { class: "pick", type: "button", tabindex: -1, "data-pick": field, title, "--hue": degrees }, masked(clip(label, 40)));
}

/** @param {Item} item */
function said({ text, event }) {
  const { head, moreLines } = firstLines(text);
  return [
    el("span", { class: "said", dir: "auto" }, ...spans(pieces(head))),
    moreLines > 0 && el("span", { class: "note" }, `+${plural(moreLines, "line")}`),
    event.data?.parseError && el("span", { class: "note why" }, clip(String(event.data.parseError), 120)),
  ];
}

/** @param {Piece[]} found */
function spans(found) {
  return found.map((piece) => {
    if (piece.kind === "text") return document.createTextNode(piece.text);
    if (piece.kind === "secret") return secret(piece.text, piece.name ?? "secret");
    return el(piece.kind === "code" ? "code" : "span", { class: piece.kind }, piece.text);
  });
}

/** @param {string} text @param {string} name */
function secret(text, name) {
  const button = el("button", { class: "secret", type: "button", title: `looks like a secret (${name}): click to show`, "aria-label": `masked ${name}, show` }, "••••••");
  const holder = el("span", {}, button);
  hidden.set(button, { holder, make: () => [document.createTextNode(text)] });
  return holder;
}

/** @param {Element} button */
function reveal(button) {
  const { holder, make } = /** @type {{ holder: HTMLElement, make: () => Node[] }} */ (hidden.get(button));
  holder.replaceChildren(...make());
  holder.tabIndex = -1;
  holder.focus();
}

/** Text whose rest waits for a click. @param {string} text @param {number} chars @param {(part: string) => Node[]} make */
function long(text, chars, make) {
  if (text.length <= chars) return el("span", {}, ...make(text));
  const button = el("button", { class: "link", type: "button" }, `show all ${text.length.toLocaleString()} characters`);
  const holder = el("span", {}, ...make(clip(text, chars)), " ", button);
  hidden.set(button, { holder, make: () => make(text) });
  return holder;
}

/** @param {string} text */
function plain(text) {
  return spans(pieces(text, verbatim));
}

/** The line as it stands in the file; of other events, the event. @param {Item} item */
function raw({ event }) {
  return event.data?.rawLine ?? JSON.stringify(event);
}

/** @param {Item} item */
function makeDetail(item) {
  const { text, event } = item;
  const data = event.data ?? {};
  const cut = firstLines(text).cut && !data.parseError;
  return el("tr", { class: "detail", role: "row" }, el("td", { role: "cell", colspan: 6 },
    facts(item),
    cut && el("p", { class: "whole", dir: "auto" }, long(text, TEXT_CHARS, (part) => spans(pieces(part)))),
    ...pasted(data.json?.pastedContents),
    el("div", { class: "json" }, ...json(item)),
  ));
}

/** @param {Item} item */
function facts({ ms, project, session, event }) {
  const { offset, truncated, parseError } = event.data ?? {};
  return el("div", { class: "facts" },
    el("span", {}, exact(ms)),
    project && el("span", {}, ...plain(project)),
    session && el("span", {}, ...plain(session)),
    typeof offset === "number" && el("span", {}, `at byte ${offset.toLocaleString()}`),
    truncated && el("span", { class: "why" }, "only its beginning is kept"),
    parseError && el("span", { class: "why" }, String(parseError)),
    el("span", { class: "actions" }, button("raw", "Copy raw line"), !parseError && button("json", "Copy JSON")),
  );
}

/** @param {string} what @param {string} label */
function button(what, label) {
  return el("button", { type: "button", "data-copy": what }, label);
}

/** @param {unknown} contents whatever stands there */
function pasted(contents) {
  if (!contents || typeof contents !== "object") return [];
  return Object.entries(contents).filter(([, paste]) => paste && typeof paste === "object").map(([key, paste]) => {
    const { content, contentHash, filename } = /** @type {Record<string, unknown>} */ (paste);
    const size = typeof content === "string" ? plural(content.split("\n").length, "line") : "kept apart";
    const words = typeof content === "string" ? long(content, TEXT_CHARS, plain) : `in paste-cache/${contentHash}.txt, which is not read`;
    return el("details", { class: "paste", open: true },
      el("summary", {}, ["Pasted text #" + key, filename, size].filter(Boolean).join(" · ")),
      el("pre", { dir: "auto" }, words));
  });
}

/** @param {Item} item */
function json(item) {
  if (item.event.data?.parseError) return [long(raw(item), TEXT_CHARS, plain)];
  return branch(tree(raw(item)), 0);
}

/** @param {Branch} node @param {number} depth @returns {Node[]} */
function branch({ kind, text, key, items }, depth) {
  const name = key === undefined ? [] : [el("span", { class: "key" }, ...plain(key)), ": "];
  if (kind === "object" || kind === "array") return [fold(name, kind, items, depth)];
  const whole = kind === "string" && key !== undefined && tells(key.slice(1, -1)) && text.length > 2;
  const value = whole ? secret(text, "by its name") : long(text, STRING_CHARS, plain);
  value.classList.add(kind);
  return [el("span", {}, ...name), value];
}

/** @param {import("./dom.js").Child[]} name @param {string} kind @param {Branch[]} items @param {number} depth */
function fold(name, kind, items, depth) {
  const [opening, closing] = kind === "object" ? ["{", "}"] : ["[", "]"];
  if (items.length === 0) return el("span", {}, ...name, opening + closing);
  const body = el("div", { class: "items" });
  const open = depth < DEPTH;
  const node = el("details", { open }, el("summary", {}, ...name, opening, el("span", { class: "note" }, String(items.length), closing)), body, closing);
  const draw = () => body.childElementCount || body.append(...lines(items, depth));
  if (open) draw();
  else node.addEventListener("toggle", draw, { once: true });
  return node;
}

/** @param {Branch[]} items @param {number} depth @returns {Node[]} */
function lines(items, depth) {
  const line = (/** @type {Branch} */ node, /** @type {number} */ at) => el("div", {}, ...branch(node, depth + 1), at < items.length - 1 && ",");
  const drawn = items.slice(0, ITEMS).map(line);
  if (items.length <= ITEMS) return drawn;
  const more = el("button", { class: "link", type: "button" }, `show all ${items.length.toLocaleString()}`);
  const holder = el("div", {}, ...drawn, more);
  hidden.set(more, { holder, make: () => items.map(line) });
  return [holder];
}

/** @param {HTMLElement} button @param {string} text */
async function copy(button, text) {
  const label = button.textContent ?? "";
  const done = await (navigator.clipboard?.writeText(text).then(() => true, () => false) ?? copyOld(text));
  say(button, done ? "Copied" : "Could not copy");
  setTimeout(() => say(button, label), 1500);
}

/** Plain HTTP to another machine has no clipboard interface. @param {string} text */
function copyOld(text) {
  const box = el("textarea", { readonly: true });
  /** @type {HTMLTextAreaElement} */ (box).value = text;
  document.body.append(box);
  /** @type {HTMLTextAreaElement} */ (box).select();
  const done = document.execCommand("copy");
  box.remove();
  return done;
}
