import assert from "node:assert/strict";
import { test } from "node:test";

import {
  EVERYTHING,
  fromHash,
  lowercase,
  matcher,
  toHash,
  viewOf,
  wantedWords,
} from "../../static/filter.js";

const row = {
  kind: "prompt",
  project: "/p/alpha",
  session: "0b6f",
  text: "Fix the Upload retry",
  event: { data: { rawLine: '{"mode":"plan"}' } },
};
const fits = (filter) => matcher({ ...EVERYTHING, ...filter })(row);

test("a filter survives the way through the address", () => {
  const filter = { ...EVERYTHING, q: "a b&c=#", kind: "file", project: "/home/проекты" };
  assert.deepEqual(fromHash(toHash(filter)), filter);
  assert.deepEqual(fromHash(toHash(filter, "sessions")), filter);
  assert.equal(toHash(EVERYTHING), "");
  assert.deepEqual(fromHash(""), EVERYTHING);
  assert.deepEqual(fromHash("#what=ever&q=x"), { ...EVERYTHING, q: "x" });
});

test("the address names a view before the filter, or none", () => {
  const views = ["", "#", "#q=a", "#sessions", "#live&q=a", "#q=a&live"].map(viewOf);
  assert.deepEqual(views, ["", "", "", "sessions", "live", ""]);
  assert.equal(toHash(EVERYTHING, "sessions"), "#sessions");
  assert.equal(toHash({ q: "sessions" }), "#q=sessions");
});

test("every word must occur, in upper or lower case, in text, project, session or raw line", () => {
  for (const q of [
    "",
    "upload",
    "UPLOAD fix",
    "alpha",
    "0b6f",
    "plan",
    "-download",
    "fix -download",
    "-",
  ])
    assert.equal(fits({ q }), q !== "-", q);
  for (const q of ["download", "fix download", "-upload", "fix -alpha"]) assert.ok(!fits({ q }), q);
});

test("a phrase in quotes is found as a whole, also before the closing quote is typed", () => {
  for (const q of [
    '"the upload"',
    '"Fix the" retry',
    '"upload re',
    '-"the retry"',
    '"mode":"plan"',
    '"',
  ])
    assert.equal(fits({ q }), true, q);
  for (const q of ['"fix upload"', '-"the upload"', '"the  upload"']) assert.ok(!fits({ q }), q);
});

test("wanted words have no minus and no quotes, and are in lower case", () => {
  assert.deepEqual(wantedWords({ q: 'Fix -not "THE upload" - -"nor this' }), [
    "fix",
    "the upload",
    "-",
  ]);
  assert.deepEqual(wantedWords(EVERYTHING), []);
});

test("two dashes are not a minus", () => {
  const has = (q, text) => matcher({ ...EVERYTHING, q })({ ...row, haystack: undefined, text });
  assert.ok(
    has("--port", "run it with --port 0") && !has("--port", "on a port") && has("-->", "a --> b"),
  );
  assert.deepEqual(wantedWords({ q: "--port -x" }), ["--port"]);
});

test("values and rare keys are found, keys that every line has are not", () => {
  const rawLine =
    '{"display":"x","pastedContents":{},"timestamp" : 1,"project":"/p","sessionId":"s","mode":"my \\"display\\""}';
  const has = (q) =>
    matcher({ ...EVERYTHING, q })({
      ...row,
      haystack: undefined,
      text: "x",
      project: "/p",
      event: { data: { rawLine, parseError: "EOF at column 9" } },
    });
  for (const q of ["mode", "my", "display", "eof"]) assert.ok(has(q), q);
  for (const q of ["project", "session", "timestamp", "pasted"]) assert.ok(!has(q), q);
});

test("a text in lower case has the same length", () => {
  const all = Array.from({ length: 0x3000 }, (_, code) => String.fromCharCode(code)).join("");
  assert.equal(lowercase(all).length, all.length);
  assert.ok(
    matcher({ ...EVERYTHING, q: "İŞLEM istanbul" })({
      ...row,
      haystack: undefined,
      text: "işlem İSTANBUL",
    }),
  );
});

test("kind, project and session must be equal", () => {
  assert.ok(fits({ kind: "prompt", project: "/p/alpha", session: "0b6f" }));
  for (const other of [{ kind: "shell" }, { project: "/p" }, { session: "0b" }])
    assert.ok(!fits(other));
});

test("an event without a raw line can be searched", () => {
  assert.ok(
    matcher({ ...EVERYTHING, q: "gone" })({
      ...row,
      haystack: undefined,
      text: "gone",
      event: { data: undefined },
    }),
  );
});

test("all changes of a file are searched, not only the one in its row", () => {
  const changes = [
    { path: "/a", to: 1 },
    { path: "/dailyTokens/0", from: 5, to: 6 },
  ];
  const file = { ...row, kind: "file", haystack: undefined, event: { data: { changes } } };
  assert.ok(matcher({ ...EVERYTHING, q: "dailytokens" })(file));
});
