import assert from "node:assert/strict";
import { test } from "node:test";

import * as words from "../../static/session.js";

const NOW = Date.parse("2026-11-25T12:00:00Z");
const before = (seconds) => new Date(NOW - 1000 * seconds).toISOString();
const session = (more) => ({ status: "working", tools: [], agents: [], queued: 0, ...more });

test("times are spelled with two units at most", () => {
  const check = (seconds, wanted) => assert.equal(words.span(1000 * seconds), wanted);
  check(-5, "0 s");
  check(42.9, "42 s");
  check(192, "3 m 12 s");
  check(600, "10 m");
  check(7_500, "2 h 5 m");
  check(3 * 86_400, "3 d");
  assert.deepEqual([80, 9_400, 9_949, 9_950, 48_000].map(words.took), [
    "0.1 s",
    "9.4 s",
    "9.9 s",
    "9 s",
    "48 s",
  ]);
});

test("large counts are short", () => {
  const counts = [0, 999, 1_000, 9_949, 61_200, 999_499, 999_500, 2_400_000, 3.21e9];
  const wanted = ["0", "999", "1.0 K", "9.9 K", "61 K", "999 K", "1.0 M", "2.4 M", "3.2 B"];
  assert.deepEqual(counts.map(words.short), wanted);
});

test("models have short names", () => {
  const check = (model, wanted) => assert.equal(words.modelName(model), wanted);
  check("claude-opus-5", "opus 5");
  check("claude-haiku-4-5-20251001", "haiku 4.5");
  check("us.anthropic.claude-sonnet-5-v1:0", "us.anthropic.claude sonnet 5 v1:0");
});

test("a permission mode has words, unless it is the default one", () => {
  const modes = [undefined, "default", "plan", "bypassPermissions", "toString"];
  const wanted = ["", "", "plan mode", "bypasses permissions", "toString"];
  assert.deepEqual(modes.map(words.modeWords), wanted);
});

test("a session's title is its own, else its prompt, else its id", () => {
  const sessionId = "0b6f3c52-1111";
  assert.equal(words.titleOf({ sessionId, title: "Fix it", prompt: "fix" }), "Fix it");
  assert.equal(words.titleOf({ sessionId, title: " ", prompt: "fix" }), "fix");
  assert.equal(words.titleOf({ sessionId }), "Session 0b6f3c52");
});

test("a turn that ended with an error has failed, unless something came after it", () => {
  const errors = { count: 1, at: before(60) };
  const check = (more, wanted) =>
    assert.deepEqual(words.statusWords(session({ errors, turns: 1, ...more })), wanted);
  check({ status: "idle", lastAt: before(59) }, ["failed", " ago"]);
  check({ status: "idle", lastAt: before(50) }, ["done", " ago"]);
  check({ status: "working", lastAt: before(60) }, ["works", ""]);
  check({ status: "idle", errors: undefined, turns: 0 }, ["idle", ""]);
  check({ status: "ended", statusFrom: "machine" }, ["silent", ""]);
  check({ status: "ended", endedMidTurn: true }, ["ended mid-turn", " ago"]);
  check({ status: "ended" }, ["ended", " ago"]);
});

test("a waiting session tells what it asks, and claims no permission by itself", () => {
  const bash = { name: "Bash", input: "cargo test -q", agentId: null, since: before(42) };
  const ask = { name: "AskUserQuestion", input: "Which?", agentId: null };
  const plan = { name: "ExitPlanMode", input: "# Plan", agentId: null };
  const check = (more, wanted) => assert.deepEqual(words.doing(session(more)), wanted);
  check(
    { status: "waiting", question: "Which?", tools: [ask] },
    { label: "Asks:", text: "Which?" },
  );
  check({ status: "waiting", question: "# P", tools: [plan] }, { label: "Plan:", text: "# P" });
  check(
    { status: "waiting", waitingFor: "permission prompt", tools: [bash] },
    { label: "Permission prompt:", text: "Bash", code: "cargo test -q" },
  );
  const read = { name: "Read", input: "README.md", agentId: "a1" };
  check(
    { status: "waiting", waitingFor: "permission prompt", tools: [read, bash] },
    { label: "Permission prompt:", text: "one of 2 calls, first Bash", code: "cargo test -q" },
  );
  const other = { status: "waiting", waitingFor: "input needed", tools: [bash] };
  check(other, { label: "Input needed" });
  check({ tools: [bash] }, { label: "Bash", code: "cargo test -q", text: "", since: before(42) });
});

test("work is the newest tool of the session itself, else its subagents, else thought", () => {
  const tool = (name, agentId = null) => ({ name, input: "x", agentId });
  const doing = (more) => words.doing(session(more));
  assert.equal(doing({ tools: [tool("Read"), tool("Grep"), tool("Agent")] }).label, "Grep");
  assert.equal(doing({ tools: [tool("Read"), tool("Grep")] }).text, "and 1 more");
  const agents = [{ status: "running" }, { status: "running" }, { status: "done" }];
  const of = { tools: [tool("Agent"), tool("Read", "a1")], agents };
  assert.deepEqual(doing(of), { text: "2 subagents at work" });
  assert.deepEqual(doing({ lastAt: before(3) }), { text: "thinking", since: before(3) });
  assert.equal(doing({ status: "idle" }), undefined);
});

test("a call runs no more in a session that has ended, or rests since, or in a done subagent", () => {
  const agents = ["running", "stopped"].map((status) => ({ agentId: status, status }));
  const check = (more, call, wanted) =>
    assert.equal(words.isAtRest(session({ agents, ...more }), call), wanted);
  const at = (seconds, agentId = null) => ({ ms: NOW - 1000 * seconds, agentId });
  check({ status: "working" }, at(60), false);
  check({ status: "waiting", since: before(0) }, at(60), false);
  check({ status: "ended" }, at(60), true);
  check({ status: "ended" }, at(60, "running"), true);
  check({ status: "idle", since: before(30) }, at(60), true);
  check({ status: "idle", since: before(30) }, at(5), false);
  check({ status: "idle" }, at(60), false);
  check({ status: "idle", since: before(30) }, at(60, "running"), false);
  check({ status: "working" }, at(60, "stopped"), true);
  check({ status: "working" }, at(60, "unknown"), false);
});

test("texts are masked, and invisible characters show", () => {
  const tools = [{ name: "Bash", input: "export TOKEN=abc12345xyz \u202e", agentId: null }];
  assert.equal(words.doing(session({ tools })).code, "export TOKEN=•••• U+202e");
  assert.equal(words.titleOf({ title: "key sk-ant-abcdefgh12345" }), "key ••••");
});

test("the window's part is known only where the window is", () => {
  assert.equal(words.contextPart({ context: { tokens: 50, window: 200 } }), 0.25);
  assert.equal(words.contextPart({ context: { tokens: 50 } }), undefined);
  assert.equal(words.contextPart({}), undefined);
});

test("a session's cost is told apart from the one that Claude Code reports", () => {
  const { cost, reported } = words.figures({ costUsd: 1.234, reportedCostUsd: 1.2 });
  assert.deepEqual([cost, reported], ["$1.23", "$1.20 by Claude Code"]);
  const unknown = words.figures({ costUsd: 0 });
  assert.deepEqual([unknown.cost, unknown.reported], [false, false]);
});

test("figures that are unknown or zero are left out", () => {
  const none = words.figures(session({ turns: 0, denied: 0, compactions: 0 }));
  assert.ok(Object.values(none).every((figure) => !figure));
  const tokens = { input: 4_100, output: 61_000, cacheRead: 2_000_000, cacheWrite: 400_000 };
  const all = words.figures({ turns: 12, denied: 2, compactions: 1, queued: 1, tokens });
  assert.deepEqual(Object.values(all).filter(Boolean), [
    "1 queued",
    "2 denied",
    "61 K out",
    "12 turns",
    "1 compaction",
    "in 4.1 K · out 61 K",
    "cache 2.4 M",
  ]);
  const errors = { count: 2, last: "Overloaded", at: before(180) };
  assert.deepEqual(words.errorWords(errors), ["2 API errors", ": Overloaded"]);
  assert.deepEqual(words.errorWords({ count: 1 }), ["1 API error", ""]);
});
