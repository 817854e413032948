// @ts-check
/**
 * What looks like a secret, as one table.
 *
 * A match is masked on the page until it is clicked. Shapes only: nothing is looked up or sent.
 * Known weakness: a secret without a known shape or a telling name before it stays readable.
 */

/** A rule's first group, where it has one, is what stands before the secret and stays readable. */
const RULES = [
  ["private key", /()-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----|$)/g],
  ["Anthropic key", /()\bsk-ant-[\w-]{8,}/g],
  ["OpenAI key", /()\bsk-[\w-]{20,}/g],
  ["GitHub token", /()\b(?:gh[oprsu]_\w{16,}|github_pat_\w{16,})/g],
  ["GitLab token", /()\bgl(?:pat|ptt|rt|dt)-[\w-]{16,}/g],
  ["Slack token", /()\bx(?:ox[abeoprs]|app)-[\w-]{10,}/g],
  ["Slack hook", /(hooks\.slack\.com\/services\/)[\w/]{20,}/g],
  ["AWS key", /()\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g],
  ["Google key", /()\b(?:AIza[\w-]{30,}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})/g],
  ["Stripe key", /()\b(?:[rs]k|whsec)_(?:live_|test_)?\w{16,}/g],
  ["npm token", /()\bnpm_\w{30,}/g],
  ["PyPI token", /()\bpypi-[\w-]{16,}/g],
  ["Hugging Face token", /()\bhf_\w{20,}/g],
  ["DigitalOcean token", /()\bdo[opr]_v1_\w{30,}/g],
  ["SendGrid key", /()\bSG\.[\w-]{16,}\.[\w-]{16,}/g],
  ["Telegram token", /()\b\d{8,10}:[\w-]{35}\b/g],
  ["age key", /()\bAGE-SECRET-KEY-1[A-Z0-9]{20,}/g],
  ["JWT", /()\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*/g],
  ["password in a URL", /(:\/\/[^\s:@/"']{0,80}:)[^\s@/"']{1,200}(?=@)/g],
  ["authorization", /(\b(?:Bearer|Basic)\s+)[\w.~+/=-]{12,}/gi],
  ["password", /((?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|(?<![a-z])(?:pass|pwd|pw))\\?["']?\s*[:=]\s*\\?["']?)[^\s"'\\,;()<>[\]{}]{4,}/gi],
].map(([name, shape]) => ({ name: /** @type {string} */ (name), shape: /** @type {RegExp} */ (shape) }));

/** A JSON key whose string value is masked whole. */
const TELLING_KEY = /^(?:.*[_-])?(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|credential)s?$/i;

/** Camel case is read as words: `authToken` tells as much as `auth_token`. */
const CAMEL = /([a-z])([A-Z])/g;

/** Only this much of a text is looked through: the page shows less of it before it is asked for all. */
const LOOKED_THROUGH_CHARS = 200_000;

/** @typedef {{ start: number, end: number, name: string }} Span */

/** Spans in order, none within another. @param {string} text @returns {Span[]} */
export function secrets(text) {
  const part = text.slice(0, LOOKED_THROUGH_CHARS);
  const found = RULES.flatMap(({ name, shape }) => Array.from(part.matchAll(shape), (m) => span(m, name)));
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  let reached = 0;
  return found.filter(({ start, end }) => start >= reached && (reached = end));
}

/** @param {RegExpMatchArray} match @param {string} name @returns {Span} */
function span(match, name) {
  const at = match.index ?? 0;
  return { start: at + match[1].length, end: at + match[0].length, name };
}

/** @param {string} key */
export function tells(key) {
  return TELLING_KEY.test(key.replace(CAMEL, "$1_$2"));
}

/** For where nothing can be clicked: titles, notifications. @param {string} text */
export function masked(text) {
  let rest = 0;
  const parts = secrets(text).map(({ start, end }) => text.slice(rest, start) + "••••" + ((rest = end), ""));
  return parts.join("") + text.slice(rest);
}
