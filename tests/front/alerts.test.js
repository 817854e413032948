import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.document = /** @type {any} */ ({ title: "claude-live" });
const { Pauses, alertOf } = await import("../../static/alerts.js");

const session = (status, more = {}) => ({
  sessionId: "s",
  status,
  since: status,
  turns: 1,
  ...more,
});

test("a session that begins to wait, finishes or fails is told of, and no other change", () => {
  const check = (before, after, wanted) => assert.equal(alertOf(before, after), wanted);
  check(session("working"), session("waiting"), "waits");
  check(session("idle"), session("waiting"), "waits");
  check(session("waiting"), session("waiting"), undefined);
  check(session("waiting"), session("waiting", { since: "later" }), "waits");
  check(session("working"), session("idle"), "finished");
  check(session("waiting"), session("idle"), "finished");
  check(session("idle"), session("idle", { since: "later" }), undefined);
  check(session("working"), session("ended"), undefined);
  const cut = session("ended", { endedMidTurn: true });
  check(session("working"), cut, "failed");
  check(session("idle"), cut, undefined);
  check(session("idle"), session("working"), undefined);
  const at = "2026-11-25T12:00:00Z";
  const failed = session("idle", { errors: { count: 1, at }, lastAt: at });
  check(session("working"), failed, "failed");
});

test("the first news of a session and its removal are not told", () => {
  assert.equal(alertOf(undefined, session("waiting")), undefined);
  assert.equal(alertOf(session("working"), undefined), undefined);
});

test("a session is told of once in ten seconds, of the last thing, and soon at first", () => {
  const pauses = new Pauses();
  assert.equal(pauses.put("a", "waits", 0), 500);
  assert.deepEqual(pauses.due(499), []);
  assert.deepEqual(pauses.due(500), [["a", "waits"]]);
  pauses.onTold("a", 500);
  assert.equal(pauses.put("a", "finished", 4_000), 6_500);
  assert.equal(pauses.put("a", "waits", 9_000), 1_500);
  assert.equal(pauses.put("b", "waits", 9_000), 500);
  assert.deepEqual(pauses.due(10_000), [["b", "waits"]]);
  assert.deepEqual(pauses.due(10_500), [["a", "waits"]]);
  assert.deepEqual(pauses.due(60_000), []);
  assert.equal(pauses.put("a", "failed", 60_000), 500);
});
