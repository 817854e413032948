import assert from "node:assert/strict";
import { test } from "node:test";

import { ago, brief, bytes, clip, firstLines, hue, item, namesOf, pieces, plural, promptOf, resumeOf, verbatim } from "../../static/format.js";

const NOW = Date.parse("2026-11-23T12:00:00Z");
const history = (data) => ({ id: 7, ts: "2026-11-23T11:59:00.000Z", type: "history.append", data: { rawLine: "{}", summary: {}, ...data } });
const prompt = (display) => item(history({ summary: { display, project: "/p/alpha", sessionId: "s" } }), NOW);

test("an age is one number and one unit", () => {
  const table = [[-5, "now"], [0, "now"], [4_999, "now"], [5_000, "5s"], [59_999, "59s"], [60_000, "1m"], [3_599_999, "59m"], [3_600_000, "1h"], [86_399_999, "23h"], [86_400_000, "1d"], [864_000_000, "10d"]];
  for (const [ms, text] of table) assert.equal(ago(ms), text, String(ms));
});

test("sizes have three digits", () => {
  const table = [[0, "0 B"], [999, "999 B"], [1_000, "1.0 KB"], [99_940, "99.9 KB"], [123_456, "123 KB"], [1_500_000_000, "1.5 GB"], [9e15, "9000000 GB"]];
  for (const [count, text] of table) assert.equal(bytes(count), text);
});

test("one is not many", () => {
  assert.equal(plural(1, "row"), "1 row");
  assert.equal(plural(0, "row"), "0 rows");
});

test("a path's last segment is found with the separators of any system", () => {
  const table = [["/home/u/alpha", "alpha"], ["/home/u/alpha/", "alpha"], ["C:\\Users\\u\\delta", "delta"], ["alpha", "alpha"], ["/", "/"], ["", ""]];
  for (const [path, name] of table) assert.equal(namesOf([path]).get(path), name);
});

test("projects are named by what tells them apart", () => {
  const of = (...paths) => [...namesOf(paths).values()];
  assert.deepEqual(of("/home/u/alpha", "/home/u/beta", "/home/u/alpha", ""), ["alpha", "beta", ""]);
  assert.deepEqual(of("/work/app", "/home/app", "/home/other"), ["work/app", "home/app", "other"]);
  assert.deepEqual(of("/one/x/app", "/two/x/app", "/two/y/app"), ["one/…/app", "two/…/app", "y/app"]);
  assert.deepEqual(of("/h1/w/a/b/c/app", "/h2/w/a/b/c/app"), ["h1/…/app", "h2/…/app"]);
  assert.deepEqual(of("/app", "/app/", "\\app"), ["app", "app", "app"]);
  assert.deepEqual(of("app", "/x/app"), ["app", "x/app"]);
});

test("a worktree is named with its project", () => {
  const of = (...paths) => [...namesOf(paths).values()];
  assert.deepEqual(of("/p/app/.claude/worktrees/fix-1", "/p/app", "/p/app/.claude/worktrees"), ["app/fix-1", "app", "worktrees"]);
  assert.deepEqual(of("/p/app/.claude/worktrees/fix-1", "/q/app/.claude/worktrees/fix-1"), ["p/…/fix-1", "q/…/fix-1"]);
  assert.deepEqual(of("C:\\p\\app\\.claude\\worktrees\\fix-1\\"), ["app/fix-1"]);
});

test("what a person typed is told from what the file merely holds", () => {
  const table = [["fix it", "prompt"], ["/clear ", "command"], ["/model opus", "command"], ["/mcp:list", "command"], ["/home/me/notes.md is wrong", "prompt"], ["! cargo test", "shell"], ["", "prompt"]];
  for (const [display, kind] of table) assert.equal(prompt(display).kind, kind, display);
  assert.equal(item(history({ parseError: "EOF at line 1 column 9", rawLine: "{\"cut" }), NOW).kind, "broken");
  assert.equal(item(history({ parseError: "EOF", rawLine: "x".repeat(9_000) }), NOW).text.length, 151);
  assert.equal(item(history({ rawLine: "{\"display\":12}" }), NOW).kind, "other");
});

test("a prompt is copied with the pasted texts that its line has", () => {
  const of = (display, pastedContents) => promptOf(history({ summary: { display }, json: { pastedContents } }));
  assert.equal(of("a [Pasted text #1 +2 lines] b [Pasted text #2]", { 1: { content: "x\n$& y" }, 2: { content: "z" } }), "a x\n$& y b z");
  for (const pasted of [undefined, null, "x", {}, { 1: null }, { 1: { contentHash: "9f" } }, { 1: { content: { a: 1 } } }]) assert.equal(of("[Pasted text #1]", pasted), "[Pasted text #1]");
  assert.equal(promptOf(history({ parseError: "EOF", summary: {} })), "");
  assert.equal(promptOf({ id: 1, ts: "", type: "file.changed", data: undefined }), "");
});

test("the command that resumes a session quotes its folder, and is not there where it could be another", () => {
  const of = (project, session) => resumeOf({ project, session });
  assert.equal(of("", "0b6f3c52-1111"), "claude --resume 0b6f3c52-1111");
  assert.equal(of("/home/it's $(me) \"x\"\\", "a"), "cd '/home/it'\\''s $(me) \"x\"\\' && claude --resume a");
  for (const [project, session] of [["/p", ""], ["/p", "-x"], ["/p", "a; rm"], ["/p", "a\n"], ["/p\n", "a"], ["/\u001b[201~", "a"]]) assert.equal(of(project, session), "", project + session);
});

test("the other types are rows too, and a type that is not known is shown as it is", () => {
  const of = (type, data) => item({ id: 1, ts: "2026-11-23T12:00:00Z", type, data }, NOW);
  assert.equal(of("file.changed", { path: "stats-cache.json", change: "modified", size: 2089 }).text, "stats-cache.json modified · 2.1 KB");
  assert.equal(of("file.changed", { path: "stats-cache.json", change: "removed" }).text, "stats-cache.json removed");
  assert.equal(of("server.notice", { kind: "history.found", msg: "found" }).text, "found");
  assert.equal(of("server.error", { kind: "watch.unreadable", msg: "permission denied", path: "/x" }).text, "permission denied · /x");
  assert.deepEqual([of("session.state", { a: 1 }).kind, of("__proto__", {}).kind, of("server.notice", undefined).text], ["other", "other", "undefined"]);
});

test("a time that cannot be read is now", () => {
  assert.equal(item({ ...history({}), ts: "soon" }, NOW).ms, NOW);
});

test("a row shows three lines and says how many more there are", () => {
  assert.deepEqual(firstLines("a\nb\nc\nd\ne\n"), { head: "a\nb\nc", moreLines: 2, isCut: true });
  assert.deepEqual(firstLines("a\nb\n\n"), { head: "a\nb", moreLines: -1, isCut: false });
  assert.equal(firstLines("x".repeat(200_000)).head.length, 601);
});

test("blank lines take no place in a row, and are there when it is opened", () => {
  assert.deepEqual(firstLines("one\n\n \nfive\n\nseven\neight\n\nten"), { head: "one\nfive\nseven", moreLines: 2, isCut: true });
  assert.deepEqual(firstLines("\n\nsame\n\nsame"), { head: "same\nsame", moreLines: -1, isCut: true });
});

test("an emoji is not cut in two", () => {
  assert.equal(clip("ab🚀c", 3), "ab…");
  assert.equal(clip("ab🚀c", 4), "ab🚀…");
  assert.equal(clip("ab🚀", 4), "ab🚀");
});

test("a name keeps its colour", () => {
  assert.equal(hue("/home/u/alpha"), hue("/home/u/alpha"));
  const hues = new Set(Array.from({ length: 200 }, (_, at) => hue(`session-${at}`)));
  assert.ok(hues.size > 12 && [...hues].every((degrees) => degrees >= 0 && degrees < 360));
});

test("a prompt falls into text, placeholders, code and what does not show", () => {
  assert.deepEqual(pieces("see [Pasted text #1 +2 lines] in `a.rs`\u202E now"), [
    { kind: "text", text: "see " },
    { kind: "chip", text: "Pasted text #1 +2 lines" },
    { kind: "text", text: " in " },
    { kind: "code", text: "a.rs" },
    { kind: "odd", text: "U+202e" },
    { kind: "text", text: " now" },
  ]);
  for (const chip of ["[Image #1]", "[Audio #12]", "[Pasted text #3]", "[...Truncated text #1 +90 lines...]"]) assert.equal(pieces(chip)[0].kind, "chip", chip);
  for (const text of ["[Image #x]", "[]", "``", "line\nline\ttab", "👩‍💻"]) assert.deepEqual(pieces(text), [{ kind: "text", text }]);
  assert.deepEqual(pieces(""), []);
});

test("a run of characters that do not show is one short mark", () => {
  assert.deepEqual(pieces("\u001B\u0000\u0007\u200B\u200B"), [{ kind: "odd", text: "U+1b" }]);
});

test("secrets are masked before anything else is looked for", () => {
  assert.deepEqual(pieces("`PASSWORD=hunter22`"), [
    { kind: "text", text: "`PASSWORD=" },
    { kind: "secret", text: "hunter22", name: "password" },
    { kind: "text", text: "`" },
  ]);
});

test("verbatim text keeps its brackets and backticks, and hides nothing", () => {
  assert.deepEqual(pieces("[Image #1] `x`", verbatim), [{ kind: "text", text: "[Image #1] `x`" }]);
  assert.deepEqual(pieces("`x\u202Ey`", verbatim), [
    { kind: "text", text: "`x" },
    { kind: "odd", text: "U+202e" },
    { kind: "text", text: "y`" },
  ]);
});

test("what does not show is marked within backticks too, and in letters spelled as tags", () => {
  const odd = (text) => pieces(text).filter(({ kind }) => kind !== "text").map(({ text }) => text);
  assert.deepEqual(odd("`x\u2066y`"), ["U+2066"]);
  assert.deepEqual(odd("a\u{E0061}\u{E0062}b\xADc\uFFF9"), ["U+e0061", "U+ad", "U+fff9"]);
  assert.deepEqual(odd("\u{1F3F4}\u202E"), ["U+202e"]);
  assert.deepEqual(odd("\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}"), []);
  assert.equal(odd(`\u{1F3F4}${"\u{E0061}".repeat(20)}`).length, 1);
});

test("names hide nothing either", () => {
  assert.equal(brief("gpj\u202Eexe"), "gpjU+202eexe");
});
