/**
 * Finds texts that look like secrets, which the page masks until they are clicked.
 * Invariant: pure.
 * Known weakness: a secret with neither a known shape nor a telling name stays readable.
 */

/** By name. A rule's group is the text before the secret, which stays readable. */
const RULES = Object.entries({
	"private key": new RegExp(
		String.raw`-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----[^]*?` +
			String.raw`(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----|$)`,
		"g",
	),
	"API key": /\bsk-(?:ant-[\w-]{8,}|[\w-]{20,})/g,
	"GitHub token": /\bg(?:h[oprsu]|ithub_pat)_\w{16,}/g,
	"Slack token": /\bx(?:ox[a-z]|app)-[\w-]{10,}/g,
	"Slack hook": /(hooks\.slack\.com\/services\/)[\w/]{20,}/g,
	"AWS key": /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
	"Google key": /\b(?:AIza[\w-]{30,}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})/g,
	"Stripe key": /\b(?:[rs]k|whsec)_(?:live_|test_)?\w{16,}/g,
	"access token": new RegExp(
		String.raw`\b(?:gl(?:pat|ptt|rt|dt)-[\w-]{16,}|npm_\w{30,}|pypi-[\w-]{16,}|hf_\w{20,}|` +
			String.raw`do[opr]_v1_\w{30,}|SG\.[\w-]{16,}\.[\w-]{16,}|\d{8,10}:[\w-]{35}\b|` +
			String.raw`AGE-SECRET-KEY-\w{20,})`,
		"g",
	),
	JWT: /\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*/g,
	"password in a URL": /(:\/\/[^\s:@/"']{0,80}:)[^\s@/"']{1,200}(?=@)/g,
	authorization: /(\b(?:Bearer|Basic)\s{1,9})[\w.~+/=-]{12,}/gi,
	password: new RegExp(
		String.raw`((?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|` +
			String.raw`(?<![a-z])(?:pass|pwd|pw))\\?["']?\s{0,9}[:=]\s{0,9}\\?["']?)` +
			"[^\\s\"'`\\\\,;()<>[\\]{}]{4,}",
		"gi",
	),
});

const ANY = new RegExp(RULES.map(([, { source }]) => source).join("|"), "i");

/** A JSON key whose string is masked as a whole. */
const SENSITIVE_KEY = new RegExp(
	"^(?:.*[_-])?(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|" +
		"private[_-]?key|authorization|credential)s?$",
	"i",
);

/** A text after `secret: ` without either is a word of a sentence. */
const DIGIT_OR_MIXED_CASE = /\d|^(?=.{8}).*[a-z][A-Z]/;

const SEARCHED_CHARS = 200_000;

/** Returns the secrets' places in order; none is within another. */
export function secrets(text) {
	const searched = text.slice(0, SEARCHED_CHARS);
	if (!ANY.test(searched)) return [];
	const found = RULES.flatMap(([name, shape]) => spansOf(searched, name, shape));
	found.sort((a, b) => a.start - b.start || b.end - a.end);
	let reached = 0;
	return found.filter(({ start, end }) => start >= reached && (reached = end));
}

function spansOf(text, name, shape) {
	return Array.from(text.matchAll(shape)).flatMap(({ 0: all, 1: before = "", index }) => {
		const [start, end] = [index + before.length, index + all.length];
		const isWord = /:\s+$/.test(before) && !DIGIT_OR_MIXED_CASE.test(text.slice(start, end));
		return isWord ? [] : [{ start, end, name }];
	});
}

/** Whether a JSON key, in any spelling, says that its value is a secret. */
export function isSensitiveKey(key) {
	return SENSITIVE_KEY.test(key.replace(/([a-z])([A-Z])/g, "$1_$2"));
}

export function masked(text) {
	const mask = (rest, { start, end }) => `${rest.slice(0, start)}••••${rest.slice(end)}`;
	return secrets(text).reduceRight(mask, text);
}
