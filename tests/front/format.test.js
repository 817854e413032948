import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ago,
  brief,
  bytes,
  clip,
  dayName,
  namesOf,
  pieces,
  plural,
  usd,
  verbatim,
} from "../../static/format.js";

test("an age is one number and one unit", () => {
  const table = [
    [-5, "now"],
    [0, "now"],
    [4_999, "now"],
    [5_000, "5s"],
    [59_999, "59s"],
    [60_000, "1m"],
    [3_599_999, "59m"],
    [3_600_000, "1h"],
    [86_399_999, "23h"],
    [86_400_000, "1d"],
    [864_000_000, "10d"],
  ];
  for (const [ms, text] of table) assert.equal(ago(ms), text, String(ms));
});

test("sizes have up to three digits and a unit", () => {
  const table = [
    [0, "0 B"],
    [999, "999 B"],
    [1_000, "1.0 KB"],
    [99_940, "99.9 KB"],
    [123_456, "123 KB"],
    [1_500_000_000, "1.5 GB"],
    [9e15, "9000000 GB"],
  ];
  for (const [count, text] of table) assert.equal(bytes(count), text);
});

test("a cost has cents, unless it is large or too small for them", () => {
  const table = [
    [0, "$0.00"],
    [0.000_1, "<$0.01"],
    [0.01, "$0.01"],
    [1.234, "$1.23"],
    [999.994, "$999.99"],
    [999.995, "$1,000"],
    [12_345.6, "$12,346"],
  ];
  for (const [cost, text] of table) assert.equal(usd(cost), text);
});

test("a day is named whatever the time zone", () => {
  assert.equal(dayName("2026-11-25"), "Wed, Nov 25");
  assert.equal(dayName("2026-11-01", "date"), "Nov 1");
  assert.equal(dayName("2026-11-25", "week"), "Wed");
});

test("one is singular, zero is plural", () => {
  assert.equal(plural(1, "row"), "1 row");
  assert.equal(plural(0, "row"), "0 rows");
});

test("a path's last segment is found with the separators of any operating system", () => {
  const table = [
    ["/home/u/alpha", "alpha"],
    ["/home/u/alpha/", "alpha"],
    ["C:\\Users\\u\\delta", "delta"],
    ["alpha", "alpha"],
    ["/", "/"],
    ["", ""],
  ];
  for (const [path, name] of table) assert.equal(namesOf([path]).get(path), name);
});

test("projects of one name are told apart by a folder", () => {
  const of = (...paths) => [...namesOf(paths).values()];
  assert.deepEqual(of("/home/u/alpha", "/home/u/beta", "/home/u/alpha", ""), ["alpha", "beta", ""]);
  assert.deepEqual(of("/work/app", "/home/app", "/home/other"), ["work/app", "home/app", "other"]);
  assert.deepEqual(of("/one/x/app", "/two/x/app", "/two/y/app"), [
    "one/…/app",
    "two/…/app",
    "y/app",
  ]);
  assert.deepEqual(of("/h1/w/a/b/c/app", "/h2/w/a/b/c/app"), ["h1/…/app", "h2/…/app"]);
  assert.deepEqual(of("/app", "/app/", "\\app"), ["app", "app", "app"]);
  assert.deepEqual(of("app", "/x/app"), ["app", "x/app"]);
});

test("a worktree is named with its project", () => {
  const of = (...paths) => [...namesOf(paths).values()];
  assert.deepEqual(of("/p/app/.claude/worktrees/fix-1", "/p/app", "/p/app/.claude/worktrees"), [
    "app/fix-1",
    "app",
    "worktrees",
  ]);
  assert.deepEqual(of("/p/app/.claude/worktrees/fix-1", "/q/app/.claude/worktrees/fix-1"), [
    "p/…/fix-1",
    "q/…/fix-1",
  ]);
  assert.deepEqual(of("C:\\p\\app\\.claude\\worktrees\\fix-1\\"), ["app/fix-1"]);
});

test("an emoji is not cut in two", () => {
  assert.equal(clip("ab🚀c", 3), "ab…");
  assert.equal(clip("ab🚀c", 4), "ab🚀…");
  assert.equal(clip("ab🚀", 4), "ab🚀");
});

test("a prompt is split into text, placeholders, code and invisible characters", () => {
  assert.deepEqual(pieces("see [Pasted text #1 +2 lines] in `a.rs`\u202E now"), [
    { kind: "text", text: "see " },
    { kind: "chip", text: "Pasted text #1 +2 lines" },
    { kind: "text", text: " in " },
    { kind: "code", text: "a.rs" },
    { kind: "invisible", text: "U+202e" },
    { kind: "text", text: " now" },
  ]);
  for (const chip of [
    "[Image #1]",
    "[Audio #12]",
    "[Pasted text #3]",
    "[...Truncated text #1 +90 lines...]",
  ])
    assert.equal(pieces(chip)[0].kind, "chip", chip);
  for (const text of ["[Image #x]", "[]", "``", "line\nline\ttab", "👩‍💻"])
    assert.deepEqual(pieces(text), [{ kind: "text", text }]);
  assert.deepEqual(pieces(""), []);
});

test("a run of invisible characters is one short mark", () => {
  assert.deepEqual(pieces("\u001B\u0000\u0007\u200B\u200B"), [{ kind: "invisible", text: "U+1b" }]);
});

test("secrets are found before placeholders and code", () => {
  assert.deepEqual(pieces("`PASSWORD=hunter22`"), [
    { kind: "text", text: "`PASSWORD=" },
    { kind: "secret", text: "hunter22", name: "password" },
    { kind: "text", text: "`" },
  ]);
});

test("verbatim text keeps brackets and backticks, and shows invisible characters", () => {
  assert.deepEqual(pieces("[Image #1] `x`", verbatim), [{ kind: "text", text: "[Image #1] `x`" }]);
  assert.deepEqual(pieces("`x\u202Ey`", verbatim), [
    { kind: "text", text: "`x" },
    { kind: "invisible", text: "U+202e" },
    { kind: "text", text: "y`" },
  ]);
});

test("invisible characters are marked in code too, and so are tags", () => {
  const odd = (text) =>
    pieces(text)
      .filter(({ kind }) => kind !== "text")
      .map(({ text }) => text);
  assert.deepEqual(odd("`x\u2066y`"), ["U+2066"]);
  assert.deepEqual(odd("a\u{E0061}\u{E0062}b\xADc\uFFF9"), ["U+e0061", "U+ad", "U+fff9"]);
  assert.deepEqual(odd("\u{1F3F4}\u202E"), ["U+202e"]);
  assert.deepEqual(odd("\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}"), []);
  assert.equal(odd(`\u{1F3F4}${"\u{E0061}".repeat(20)}`).length, 1);
});

test("invisible characters are marked in names", () => {
  assert.equal(brief("gpj\u202Eexe"), "gpjU+202eexe");
});
