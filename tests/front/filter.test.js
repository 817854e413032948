import assert from "node:assert/strict";
import { test } from "node:test";

import { EVERYTHING, fold, fromHash, matcher, toHash, wantedWords } from "../../static/filter.js";

const row = { kind: "prompt", project: "/p/alpha", session: "0b6f", text: "Fix the Upload retry", event: { data: { rawLine: '{"mode":"plan"}' } } };
const fits = (filter) => matcher({ ...EVERYTHING, ...filter })(row);

test("a filter goes into the address and comes back", () => {
  const filter = { q: "a b&c=#", kind: "file", project: "/home/проекты", session: "" };
  assert.deepEqual(fromHash(toHash(filter)), filter);
  assert.equal(toHash(EVERYTHING), "");
  assert.deepEqual(fromHash(""), EVERYTHING);
  assert.deepEqual(fromHash("#what=ever&q=x"), { ...EVERYTHING, q: "x" });
});

test("every word must occur, in any case, in text, project, session or raw line", () => {
  for (const q of ["", "upload", "UPLOAD fix", "alpha", "0b6f", "plan", "-download", "fix -download", "-"]) assert.equal(fits({ q }), q !== "-", q);
  for (const q of ["download", "fix download", "-upload", "fix -alpha"]) assert.ok(!fits({ q }), q);
});

test("what stands in quotes is found as it stands, also before they are closed", () => {
  for (const q of ['"the upload"', '"Fix the" retry', '"upload re', '-"the retry"', '"mode":"plan"', '"']) assert.equal(fits({ q }), true, q);
  for (const q of ['"fix upload"', '-"the upload"', '"the  upload"']) assert.ok(!fits({ q }), q);
});

test("the words that are wanted are those without a minus, in lower case and without quotes", () => {
  assert.deepEqual(wantedWords({ q: 'Fix -not "THE upload" - -"nor this' }), ["fix", "the upload", "-"]);
  assert.deepEqual(wantedWords(EVERYTHING), []);
});

test("two dashes are no minus", () => {
  const has = (q, text) => matcher({ ...EVERYTHING, q })({ ...row, haystack: undefined, text });
  assert.ok(has("--port", "run it with --port 0") && !has("--port", "on a port") && has("-->", "a --> b"));
  assert.deepEqual(wantedWords({ q: "--port -x" }), ["--port"]);
});

test("keys that each line has are not found, and values and other keys are", () => {
  const rawLine = '{"display":"x","pastedContents":{},"timestamp" : 1,"project":"/p","sessionId":"s","mode":"my \\"display\\""}';
  const has = (q) => matcher({ ...EVERYTHING, q })({ ...row, haystack: undefined, text: "x", project: "/p", event: { data: { rawLine, parseError: "EOF at column 9" } } });
  for (const q of ["mode", "my", "display", "eof"]) assert.ok(has(q), q);
  for (const q of ["project", "session", "timestamp", "pasted"]) assert.ok(!has(q), q);
});

test("letters are as many in lower case", () => {
  const all = Array.from({ length: 0x3000 }, (_, code) => String.fromCharCode(code)).join("");
  assert.equal(fold(all).length, all.length);
  assert.ok(matcher({ ...EVERYTHING, q: "İŞLEM istanbul" })({ ...row, haystack: undefined, text: "işlem İSTANBUL" }));
});

test("kind, project and session are met exactly", () => {
  assert.ok(fits({ kind: "prompt", project: "/p/alpha", session: "0b6f" }));
  for (const other of [{ kind: "shell" }, { project: "/p" }, { session: "0b" }]) assert.ok(!fits(other));
});

test("a row without a raw line can be searched", () => {
  assert.ok(matcher({ ...EVERYTHING, q: "gone" })({ ...row, haystack: undefined, text: "gone", event: { data: undefined } }));
});
