import assert from "node:assert/strict";
import { test } from "node:test";

import {
  MOST_ROWS,
  Timeline,
  daysOf,
  durationOf,
  grouped,
  haystackOf,
  outcomeOf,
  partsOf,
  summaryOf,
} from "../../static/timeline.js";

const START = Date.parse("2026-11-25T12:00:00Z");

/** A record at an offset, so many seconds after the start. */
function record(offset, ...blocks) {
  const ts = new Date(START + 1000 * offset).toISOString();
  const data = { sessionId: "s", agentId: null, offset, bytes: 9, uuid: `u${offset}`, blocks };
  return { ts, type: "transcript.append", data };
}

const call = (id, name = "Read") => ({ kind: "tool_use", toolUseId: id, name, text: `of ${id}` });
const result = (id, more) => ({ kind: "tool_result", toolUseId: id, text: "ok", ...more });
const say = (text, kind = "text") => ({ kind, text });

function read(...records) {
  const timeline = new Timeline();
  timeline.addOlder(records.toReversed(), null);
  return timeline;
}

const kinds = (timeline) => timeline.rows.map(({ kind }) => kind).join(" ");

test("a call and its result are one row, also when blocks of others come between", () => {
  const timeline = read(
    record(0, say("go", "prompt")),
    record(1, call("a"), call("b")),
    record(3, result("b")),
    record(5, result("a", { isError: true })),
  );
  assert.equal(kinds(timeline), "prompt tool_use tool_use");
  const [, a, b] = timeline.rows;
  assert.deepEqual([a.result.isError, b.result.text], [true, "ok"]);
  assert.deepEqual([durationOf(a), durationOf(b)], [4_000, 2_000]);
});

test("a result joins its call when the page with the call is read", () => {
  const timeline = new Timeline();
  timeline.addOlder([record(9, say("x")), record(8, result("a"))], 8);
  assert.equal(kinds(timeline), "tool_result text");
  timeline.addOlder([record(7, call("a")), record(6, say("y"))], null);
  assert.equal(kinds(timeline), "text tool_use text");
  assert.equal(timeline.rows[1].result.text, "ok");
});

test("records that the stream brings before the first page are rows after it, each once", () => {
  const timeline = new Timeline();
  for (const offset of [2, 5, 6]) assert.equal(timeline.add(record(offset, say(`${offset}`))), 0);
  assert.equal(kinds(timeline), "");
  timeline.addOlder([record(5, say("5")), record(4, say("4")), record(3, say("3"))], 3);
  assert.deepEqual(
    timeline.rows.map(({ text }) => text),
    ["3", "4", "5", "6"],
  );
  timeline.addOlder([record(2, say("2"))], null);
  assert.equal(timeline.rows[0].text, "2");
});

test("a record that was read and comes by the stream too is one row", () => {
  const timeline = read(record(0, say("a")), record(1, say("b")));
  assert.equal(timeline.add(record(1, say("b"))), 0);
  assert.equal(timeline.add(record(2, call("c"))), 1);
  assert.equal(timeline.add(record(3, result("c"))), 0);
  timeline.addOlder([record(0, say("a"))], null);
  assert.equal(kinds(timeline), "text text tool_use");
});

test("a call without a result is over with its turn, and a late result still joins it", () => {
  const interruption = say("[Request interrupted by user for tool use]", "notice");
  const ends = [interruption, say("next", "prompt"), say("", "turn_end")];
  for (const end of ends) {
    const timeline = read(record(0, call("a")), record(1, result("b")), record(2, call("c")));
    const over = () => timeline.rows.filter(({ isOver }) => isOver).map((row) => row.toolUseId);
    assert.deepEqual(over(), []);
    timeline.add(record(3, say("Sent to the back", "notice")));
    assert.deepEqual(over(), []);
    timeline.add(record(4, end));
    timeline.add(record(5, call("d")));
    assert.deepEqual(over(), ["a", "c"]);
    timeline.add(record(6, result("c")));
    assert.equal(timeline.rows.find(({ toolUseId }) => toolUseId === "c").result.text, "ok");
  }
});

test("a call on an older page is over by the end on a newer one", () => {
  const timeline = new Timeline();
  timeline.addOlder([record(9, call("b")), record(8, say("next", "prompt"))], 8);
  timeline.addOlder([record(7, call("a"))], null);
  assert.deepEqual(
    timeline.rows.map(({ isOver }) => Boolean(isOver)),
    [true, false, false],
  );
});

test("a subagent's prompt ends no call of its session, whose end ends the subagent's calls", () => {
  const of = (agentId, it) => ({ ...it, data: { ...it.data, agentId } });
  const timeline = read(
    record(0, call("main", "Task")),
    of("x", record(1, say("find", "prompt"))),
    of("x", record(2, call("inner"))),
  );
  assert.ok(timeline.rows.every(({ isOver }) => !isOver));
  timeline.add(record(3, say("next", "prompt")));
  assert.deepEqual(
    timeline.rows.filter(({ isOver }) => isOver).map((row) => row.toolUseId),
    ["main", "inner"],
  );
});

test("the duration that the tool tells is trusted more than the records' times", () => {
  const timeline = read(record(0, call("a")), record(5, result("a", { durationMs: 12 })));
  assert.equal(durationOf(timeline.rows[0]), 12);
  assert.equal(durationOf(read(record(0, call("a"))).rows[0]), undefined);
});

test("runs of calls that went well are groups; failures, agents and open calls stand alone", () => {
  const done = (at, id, name, more) => [
    record(at, call(id, name)),
    record(at + 1, result(id, more)),
  ];
  const timeline = read(
    ...done(0, "a"),
    record(2, say("hm", "thinking")),
    ...done(3, "b"),
    ...done(5, "c", "Grep"),
    ...done(7, "d", "Bash", { isError: true }),
    ...done(9, "e"),
    ...done(11, "f", "Agent"),
    record(13, call("g")),
  );
  const groups = grouped(timeline.rows);
  assert.deepEqual(
    groups.map(({ length }) => length),
    [4, 1, 1, 1, 1],
  );
  const { count, tools, ms } = summaryOf(groups[0]);
  assert.deepEqual(
    [count, tools, ms],
    [
      3,
      [
        ["Read", 2],
        ["Grep", 1],
      ],
      6_000,
    ],
  );
  assert.deepEqual(
    grouped(timeline.rows.slice(0, 3)).map(({ length }) => length),
    [1, 1, 1],
  );
});

test("days begin with their first rows, and with none if all is of today", () => {
  const local = (day, hour) => new Date(2026, 10, day, hour).getTime();
  const check = (times, wanted) => {
    const groups = times.map((ms) => [{ ms }]);
    const starts = daysOf(groups, local(25, 12));
    assert.deepEqual(
      groups.map((group) => starts.get(group)),
      wanted.map((day) => day && local(day, 0)),
    );
  };
  check([local(25, 0), local(25, 11)], [undefined, undefined]);
  check([local(22, 10), local(22, 23), local(24, 0)], [22, undefined, 24]);
  check([local(24, 23), local(25, 0), local(24, 23), local(25, 1)], [24, 25, undefined, undefined]);
  check([undefined, local(24, 23), undefined, local(25, 1)], [undefined, 24, undefined, 25]);
  check([undefined], [undefined]);
  check([], []);
});

test("a row that is apart stays out of its group", () => {
  const calls = [0, 1, 2, 3, 4, 5, 6].flatMap((at) => [
    record(2 * at, call(`${at}`)),
    record(2 * at + 1, result(`${at}`)),
  ]);
  const { rows } = read(...calls);
  const lengths = (apart) => grouped(rows, (row) => row === apart).map(({ length }) => length);
  assert.deepEqual(lengths(), [7]);
  assert.deepEqual(lengths(rows[3]), [3, 1, 3]);
  assert.deepEqual(lengths(rows[5]), [5, 1, 1]);
});

test("reading back to the first record lets the newest rows go, and then the stream waits", () => {
  const timeline = new Timeline();
  const page = (from) => Array.from({ length: 500 }, (_, at) => record(from - at, say("x")));
  for (let from = 80_000; timeline.rows.length < MOST_ROWS; from -= 500) {
    timeline.addOlder(page(from), from - 499);
  }
  assert.equal(timeline.hasGap, false);
  timeline.addOlder(page(1_000), null);
  assert.deepEqual([timeline.rows.length, timeline.hasGap], [MOST_ROWS, true]);
  assert.equal(timeline.rows[0].offset, 501);
  assert.equal(timeline.add(record(90_000, say("new"))), 0);
});

test("a stream of 100,000 records keeps the newest ones, and older ones can be read again", () => {
  const timeline = read(record(0, say("first")));
  for (let at = 1; at <= 100_000; at += 1) timeline.add(record(at, say("x")));
  assert.ok(timeline.rows.length <= 1.25 * MOST_ROWS);
  assert.equal(timeline.rows.at(-1).offset, 100_000);
  assert.deepEqual(timeline.reached, { state: "at", offset: timeline.rows[0].offset });
  timeline.addOlder([record(timeline.rows[0].offset - 1, say("again"))], null);
  assert.equal(timeline.rows[0].text, "again");
});

test("answers, failures and subagents' results are told in the row, others are not", () => {
  const row = (more) => ({ kind: "tool_use", name: "Read", result: result("a"), ...more });
  assert.equal(outcomeOf(row({})), undefined);
  assert.equal(outcomeOf(row({ result: undefined, kind: "question" })), undefined);
  assert.equal(outcomeOf(row({ kind: "question" })), "ok");
  assert.equal(outcomeOf(row({ name: "Agent" })), "ok");
  const failed = result("a", { isError: true, text: "Exit code 1\nlog" });
  assert.equal(outcomeOf(row({ result: failed })), "Exit code 1");
  assert.ok(haystackOf(row({ text: "SRC", result: failed })).includes("src\nexit code 1"));
});

test("a record's readable parts are its texts, inputs and images", () => {
  const check = (content, wanted) => assert.deepEqual(partsOf({ message: { content } }), wanted);
  check("hello", [{ kind: "text", text: "hello" }]);
  check(
    [
      { type: "thinking", thinking: "hm" },
      { type: "text", text: "" },
    ],
    [{ kind: "text", text: "hm" }],
  );
  check(
    [{ type: "tool_use", input: { command: "ls\n-l", timeout: 5 } }],
    [
      { kind: "input", name: "command", text: "ls\n-l" },
      { kind: "input", name: "timeout", text: "5" },
    ],
  );
  const image = { type: "image", source: { media_type: "image/png", data: "x".repeat(400) } };
  check(
    [{ type: "tool_result", content: [{ type: "text", text: "a" }, image] }],
    [
      { kind: "text", text: "a" },
      { kind: "image", text: "image/png", name: "300" },
    ],
  );
  for (const odd of [null, 5, [null, 7, "x", { type: "image" }], {}]) {
    assert.ok(Array.isArray(partsOf({ message: { content: odd } })));
  }
});
