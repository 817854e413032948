import assert from "node:assert/strict";
import { test } from "node:test";

import {
  firstLines,
  isSecret,
  item,
  nameOf,
  noticeKind,
  promptOf,
  resumeOf,
  sidesOf,
} from "../../static/items.js";

const NOW = Date.parse("2026-11-23T12:00:00Z");
const history = (data) => ({
  id: 7,
  ts: "2026-11-23T11:59:00.000Z",
  type: "history.append",
  data: { rawLine: "{}", summary: {}, ...data },
});
const prompt = (display) =>
  item(history({ summary: { display, project: "/p/alpha", sessionId: "s" } }), NOW);

test("typed text is a prompt, a command or a shell command; other lines are not", () => {
  const table = [
    ["fix it", "prompt"],
    ["/clear ", "command"],
    ["/model opus", "command"],
    ["/mcp:list", "command"],
    ["/home/me/notes.md is wrong", "prompt"],
    ["! cargo test", "shell"],
    ["", "prompt"],
  ];
  for (const [display, kind] of table) assert.equal(prompt(display).kind, kind, display);
  assert.equal(
    item(history({ parseError: "EOF at line 1 column 9", rawLine: '{"cut' }), NOW).kind,
    "broken",
  );
  assert.equal(
    item(history({ parseError: "EOF", rawLine: "x".repeat(9_000) }), NOW).text.length,
    151,
  );
  assert.equal(item(history({ rawLine: '{"display":12}' }), NOW).kind, "other");
});

test("a prompt is copied with the pasted texts that its line contains", () => {
  const of = (display, pastedContents) =>
    promptOf(history({ summary: { display }, json: { pastedContents } }));
  assert.equal(
    of("a [Pasted text #1 +2 lines] b [Pasted text #2]", {
      1: { content: "x\n$& y" },
      2: { content: "z" },
    }),
    "a x\n$& y b z",
  );
  for (const pasted of [
    undefined,
    null,
    "x",
    {},
    { 1: null },
    { 1: { contentHash: "9f" } },
    { 1: { content: { a: 1 } } },
  ])
    assert.equal(of("[Pasted text #1]", pasted), "[Pasted text #1]");
  assert.equal(promptOf(history({ parseError: "EOF", summary: {} })), "");
  assert.equal(promptOf({ id: 1, ts: "", type: "file.changed", data: undefined }), "");
});

test("the resume command quotes its folder, and is absent if it could do something else", () => {
  const of = (project, session) => resumeOf({ project, session });
  assert.equal(of("", "0b6f3c52-1111"), "claude --resume 0b6f3c52-1111");
  assert.equal(
    of('/home/it\'s $(me) "x"\\', "a"),
    "cd '/home/it'\\''s $(me) \"x\"\\' && claude --resume a",
  );
  for (const [project, session] of [
    ["/p", ""],
    ["/p", "-x"],
    ["/p", "a; rm"],
    ["/p", "a\n"],
    ["/p\n", "a"],
    ["/\u001b[201~", "a"],
  ])
    assert.equal(of(project, session), undefined, project + session);
});

test("every type of event has a text, also an unknown type", () => {
  const of = (type, data) => item({ id: 1, ts: "2026-11-23T12:00:00Z", type, data }, NOW);
  assert.equal(
    of("file.changed", { path: "stats-cache.json", change: "modified", size: 2089 }).text,
    "stats-cache.json modified · 2.1 KB",
  );
  assert.equal(
    of("file.changed", { path: "stats-cache.json", change: "removed" }).text,
    "stats-cache.json removed",
  );
  assert.equal(of("server.notice", { kind: "history.found", msg: "found" }).text, "found");
  assert.equal(
    of("server.error", { kind: "watch.unreadable", msg: "permission denied", path: "/x" }).text,
    "permission denied · /x",
  );
  assert.deepEqual(
    [
      of("session.state", { a: 1 }).kind,
      of("__proto__", {}).kind,
      of("server.notice", undefined).text,
    ],
    ["other", "other", "undefined"],
  );
});

test("an invalid time is replaced by the current time", () => {
  assert.equal(item({ ...history({}), ts: "soon" }, NOW).ms, NOW);
});

test("a row shows three lines and counts the others", () => {
  assert.deepEqual(firstLines("a\nb\nc\nd\ne\n"), { head: "a\nb\nc", moreLines: 2, isCut: true });
  assert.deepEqual(firstLines("a\nb\n\n"), { head: "a\nb", moreLines: 0, isCut: false });
  assert.equal(firstLines("x".repeat(200_000)).head.length, 601);
});

test("blank lines are not in a closed row", () => {
  assert.deepEqual(firstLines("one\n\n \nfive\n\nseven\neight\n\nten"), {
    head: "one\nfive\nseven",
    moreLines: 2,
    isCut: true,
  });
  assert.deepEqual(firstLines("\n\nsame\n\nsame"), {
    head: "same\nsame",
    moreLines: 0,
    isCut: true,
  });
});

test("a changed file names the first change and counts the others", () => {
  const of = (more) =>
    item(
      {
        id: 1,
        ts: "",
        type: "file.changed",
        data: { path: "stats-cache.json", change: "modified", size: 2_089, ...more },
      },
      NOW,
    ).text;
  const total = { path: "/totalSessions", from: 61, to: 62 };
  const added = { path: "/a~1b/0/~0c", to: "x" };
  assert.equal(
    of({ changes: [total] }),
    "stats-cache.json modified · 2.1 KB · `totalSessions` 61 → 62",
  );
  assert.equal(
    of({ changes: [added, total] }),
    'stats-cache.json modified · 2.1 KB · `a/b/0/~c` absent → "x", and 1 more',
  );
  assert.equal(
    of({ changes: [total, added], moreChanges: 2 }),
    "stats-cache.json modified · 2.1 KB · `totalSessions` 61 → 62, and 3 more",
  );
  assert.equal(
    of({ changes: [{ path: "", from: null, to: true }] }),
    "stats-cache.json modified · 2.1 KB · `the whole file` null → true",
  );
  assert.equal(of({ changes: [] }), "stats-cache.json modified · 2.1 KB");
});

test("changes do not show secrets, by name or by shape", () => {
  const of = (change) =>
    item(
      {
        id: 1,
        ts: "",
        type: "file.changed",
        data: { path: "x", change: "modified", changes: [change] },
      },
      NOW,
    ).text;
  assert.equal(
    of({ path: "/mcp/apiKey", from: "abc", to: "def" }),
    "x modified · `mcp/apiKey` •••• → ••••",
  );
  assert.equal(
    of({ path: "/url", from: "http://a:hunter2@b", to: 1 }),
    'x modified · `url` "http://a:••••@b" → 1',
  );
  assert.ok(isSecret({ path: "/a/authToken" }) && !isSecret({ path: "/token/count" }));
});

test("a change has a name and two sides", () => {
  assert.equal(nameOf({ path: "/a~1b/c~0d" }), "a/b/c~d");
  assert.deepEqual(sidesOf({ from: 1.5 }), ["1.5", "absent"]);
  assert.deepEqual(sidesOf({ from: null, to: "" }), ["null", '""']);
});

test("only notices have a kind of notice", () => {
  const data = { kind: "history.reset" };
  assert.equal(noticeKind({ type: "server.notice", data }), "history.reset");
  assert.equal(noticeKind({ type: "history.append", data }), undefined);
});
