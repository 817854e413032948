/**
 * What looks like a secret: masked on the page until it is clicked.
 * Invariant: pure. Known weakness: what has neither a known shape nor a telling name stays readable.
 */

/** By name. A rule's group, where it has one, is what stands before the secret and stays readable. */
const RULES = Object.entries({
	"private key": /-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----|$)/g,
	"API key": /\bsk-(?:ant-[\w-]{8,}|[\w-]{20,})/g,
	"GitHub token": /\bg(?:h[oprsu]|ithub_pat)_\w{16,}/g,
	"Slack token": /\bx(?:ox[a-z]|app)-[\w-]{10,}/g,
	"Slack hook": /(hooks\.slack\.com\/services\/)[\w/]{20,}/g,
	"AWS key": /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
	"Google key": /\b(?:AIza[\w-]{30,}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})/g,
	"Stripe key": /\b(?:[rs]k|whsec)_(?:live_|test_)?\w{16,}/g,
	"access token": /\b(?:gl(?:pat|ptt|rt|dt)-[\w-]{16,}|npm_\w{30,}|pypi-[\w-]{16,}|hf_\w{20,}|do[opr]_v1_\w{30,}|SG\.[\w-]{16,}\.[\w-]{16,}|\d{8,10}:[\w-]{35}\b|AGE-SECRET-KEY-\w{20,})/g,
	JWT: /\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*/g,
	"password in a URL": /(:\/\/[^\s:@/"']{0,80}:)[^\s@/"']{1,200}(?=@)/g,
	authorization: /(\b(?:Bearer|Basic)\s{1,9})[\w.~+/=-]{12,}/gi,
	password:
		/((?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|(?<![a-z])(?:pass|pwd|pw))\\?["']?\s{0,9}[:=]\s{0,9}\\?["']?)[^\s"'`\\,;()<>[\]{}]{4,}/gi,
});

const ANY = new RegExp(RULES.map(([, { source }]) => source).join("|"), "i");

/** A JSON key whose string is masked whole. */
const TELLING_KEY =
	/^(?:.*[_-])?(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|credential)s?$/i;

/** After `secret: ` what has neither is a word of a sentence. */
const DIGIT_OR_MIX = /\d|^(?=.{8}).*[a-z][A-Z]/;

const LOOKED_THROUGH_CHARS = 200_000;

/** @param {string} text @returns {Span[]} in order, none within another */
export function secrets(text) {
	const part = text.slice(0, LOOKED_THROUGH_CHARS);
	if (!ANY.test(part)) return [];
	const found = RULES.flatMap(([name, shape]) =>
		Array.from(part.matchAll(shape), ({ 0: all, 1: before = "", index }) => ({ start: index + before.length, end: index + all.length, name, before }))
			.filter(({ before, start, end }) => !/:\s+$/.test(before) || DIGIT_OR_MIX.test(part.slice(start, end))));
	found.sort((a, b) => a.start - b.start || b.end - a.end);
	let reached = 0;
	return found.filter(({ start, end }) => start >= reached && (reached = end));
}

export const tells = (key) => TELLING_KEY.test(key.replace(/([a-z])([A-Z])/g, "$1_$2"));

/** For where nothing can be clicked. @param {string} text */
export function masked(text) {
	return secrets(text).reduceRight((rest, { start, end }) => `${rest.slice(0, start)}••••${rest.slice(end)}`, text);
}
