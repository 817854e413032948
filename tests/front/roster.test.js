import assert from "node:assert/strict";
import { test } from "node:test";

import { Roster } from "../../static/roster.js";

const NOW = Date.parse("2026-11-25T12:00:00Z");
const before = (seconds) => new Date(NOW - 1000 * seconds).toISOString();
const ALL = { q: "", project: "", status: "", open: "" };

function session(sessionId, status, seconds = 0, more = {}) {
  return { sessionId, status, since: before(seconds), lastAt: before(0), isLive: true, ...more };
}

function loaded(...sessions) {
  const roster = new Roster();
  roster.load({ lastEventId: 10, reading: { files: 1, done: 1 }, sessions }, NOW);
  return roster;
}

const changed = (id, data) => ({ id, type: "session.changed", data });
const ids = (roster, filter = ALL, isHeld = false) =>
  roster.groups(filter, isHeld).map(({ sessions }) => sessions.map((it) => it.sessionId).join(""));

test("those that wait are first, the longest wait on top; of others the newest change", () => {
  const roster = loaded(
    session("a", "idle", 5),
    session("b", "waiting", 10),
    session("c", "waiting", 99),
    session("d", "ended", 7),
    session("e", "working", 20),
    session("f", "working", 3),
  );
  assert.deepEqual(ids(roster), ["cb", "fe", "a", "d"]);
});

test("events change, add and remove sessions; those that the list had are ignored", () => {
  const roster = loaded(session("a", "idle"));
  assert.equal(roster.accept(changed(10, session("a", "working")), NOW), undefined);
  const { before: old, after } = roster.accept(changed(11, session("a", "waiting")), NOW);
  assert.deepEqual([old.status, after.status], ["idle", "waiting"]);
  roster.accept(changed(12, session("b", "working")), NOW);
  assert.deepEqual(ids(roster), ["a", "b", "", ""]);
  roster.accept({ id: 13, type: "session.removed", data: { sessionId: "a" } }, NOW);
  assert.deepEqual(ids(roster), ["", "b", "", ""]);
  const unknown = { id: 14, type: "session.removed", data: { sessionId: "x" } };
  assert.equal(roster.accept(unknown, NOW), undefined);
});

test("a session of the day before is not added, unless it is alive", () => {
  const roster = loaded();
  const old = { lastAt: before(90_000), isLive: false };
  assert.equal(roster.accept(changed(11, session("a", "ended", 0, old)), NOW), undefined);
  roster.accept(changed(12, session("b", "idle", 0, { ...old, isLive: true })), NOW);
  assert.deepEqual(ids(roster), ["", "", "b", ""]);
});

test("a held order keeps places while statuses change, and new sessions come to their group", () => {
  const roster = loaded(session("a", "working", 5), session("b", "working", 9));
  assert.deepEqual(ids(roster), ["", "ab", "", ""]);
  roster.accept(changed(11, session("b", "waiting", 0)), NOW);
  roster.accept(changed(12, session("c", "waiting", 1)), NOW);
  assert.deepEqual(ids(roster, ALL, true), ["c", "ab", "", ""]);
  assert.deepEqual(
    roster.misplaced.map(({ sessionId }) => sessionId),
    ["b"],
  );
  assert.deepEqual(ids(roster), ["cb", "a", "", ""]);
  assert.deepEqual(roster.misplaced, []);
});

test("words are looked for in all of a session's texts, and the open one always shows", () => {
  const roster = loaded(
    session("a", "idle", 0, { title: "Fix the Parser", project: "/p/x" }),
    session("b", "idle", 1, { tools: [{ name: "Bash", input: "npm ci" }], project: "/p/y" }),
    session("c", "working", 1, { agents: [{ type: "Explore", description: "callers" }] }),
  );
  const check = (filter, wanted) =>
    assert.equal(ids(roster, { ...ALL, ...filter }).join(""), wanted);
  check({ q: "parser" }, "a");
  check({ q: "npm -explore" }, "b");
  check({ q: "callers" }, "c");
  check({ project: "/p/x" }, "a");
  check({ status: "working" }, "c");
  check({ status: "working", open: "b" }, "cb");
  check({ q: "nothing" }, "");
});

test("after the clock was set back, events with smaller ids count", () => {
  const roster = loaded(session("a", "idle"));
  roster.renumber(3);
  assert.ok(roster.accept(changed(4, session("a", "working")), NOW));
});

test("a list that the server made before an event does not undo it", () => {
  const roster = loaded(session("a", "idle"), session("b", "idle"));
  roster.accept(changed(11, session("a", "working")), NOW);
  roster.accept(changed(13, session("a", "waiting")), NOW);
  roster.accept({ id: 14, type: "session.removed", data: { sessionId: "b" } }, NOW);
  const sessions = [session("a", "working"), session("b", "idle")];
  roster.load({ lastEventId: 12, reading: null, sessions }, NOW);
  assert.deepEqual(ids(roster), ["a", "", "", ""]);
  roster.load({ lastEventId: 20, reading: null, sessions }, NOW);
  assert.deepEqual(ids(roster), ["", "a", "b", ""]);
});

test("it is told how far transcripts are read, and that they are switched off", () => {
  const roster = new Roster();
  assert.equal(roster.reading, "unknown");
  for (const [reading, wanted] of [
    [{ files: 2, done: 1 }, { files: 2, done: 1 }],
    [null, "off"],
  ]) {
    roster.load({ lastEventId: 1, reading, sessions: [] }, NOW);
    assert.deepEqual(roster.reading, wanted);
  }
});

test("two machines can have a session with the same id", () => {
  const both = ["one", "two"].map((machine) => session("a", "working", 0, { machine }));
  const roster = loaded(...both);
  assert.deepEqual(ids(roster), ["", "aa", "", ""]);
  roster.accept(changed(11, { ...both[1], status: "idle" }), NOW);
  assert.deepEqual(ids(roster, { ...ALL, machine: "two" }), ["", "", "a", ""]);
  roster.accept({ id: 12, type: "session.removed", data: { sessionId: "a", machine: "one" } }, NOW);
  assert.equal(roster.get("one/a"), undefined);
  assert.equal(roster.get("two/a").status, "idle");
});
