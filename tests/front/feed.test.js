import assert from "node:assert/strict";
import { test } from "node:test";

import { Feed, HELD } from "../../static/feed.js";
import { MOST_OLDER } from "../../static/older.js";
import { Random } from "./random.js";

const NOW = 1_795_000_000_000;
const TS = "2026-11-23T12:00:00Z";
const LINE_BYTES = 100;

/** A line of a file whose lines have equal lengths: its number is its place and, here, its id. */
const line = (id, rawLine = `line ${id}`, offset = id * LINE_BYTES) => ({
  id,
  ts: TS,
  type: "history.append",
  data: { rawLine, summary: { display: rawLine }, offset },
});
const change = (id) => ({
  id,
  ts: TS,
  type: "file.changed",
  data: { path: "stats-cache.json", change: "modified" },
});
const notice = (id, kind) => ({ id, ts: TS, type: "server.notice", data: { kind, msg: kind } });
const backlog = (lastEventId, ...events) => ({ limit: 200, lastEventId, events });
const ids = (feed) => feed.items.map(({ id }) => id);
const texts = (items) => items.map(({ text }) => text);
const all = () => true;

/** Lines from `newest` down to `oldest`. */
const lines = (newest, oldest) =>
  Array.from({ length: newest - oldest + 1 }, (_, at) => line(newest - at));

function feedOf(...events) {
  const feed = new Feed();
  feed.load(backlog(events[0]?.id ?? 0, ...events), NOW);
  return feed;
}

function receive(feed, ...events) {
  for (const event of events) feed.accept(event, NOW);
  feed.settle();
}

/** Answers as the server does: lines without ids, and the offset to continue from. */
function readOlder(feed, limit, isWanted = all) {
  const first = Math.ceil(feed.before / LINE_BYTES) - 1;
  const last = Math.max(0, first - limit + 1);
  const events = lines(first, last).map(({ id, ...event }) => event);
  const before = last > 0 ? last * LINE_BYTES : null;
  return feed.older.add({ ...backlog(0, ...events), before }, NOW, isWanted);
}

test("the stream continues the backlog", () => {
  const feed = feedOf(line(3), line(2));
  receive(feed, line(4), change(5));
  assert.deepEqual(ids(feed), [5, 4, 3, 2]);
});

test("events wait until they are settled", () => {
  const feed = feedOf(line(1));
  feed.accept(line(2), NOW);
  feed.accept(line(3), NOW);
  assert.deepEqual([ids(feed), feed.waiting], [[1], 2]);
  feed.settle();
  assert.deepEqual([ids(feed), feed.waiting], [[3, 2, 1], 0]);
});

test("a backlog that is read again replaces the lines and nothing else", () => {
  const feed = feedOf(line(2), line(1));
  receive(feed, change(3), line(4));
  feed.accept(line(6), NOW);
  const [kept] = feed.items;
  feed.load(backlog(5, line(5), line(4)), NOW);
  assert.deepEqual(ids(feed), [5, 4, 3]);
  assert.equal(feed.items[1], kept);
  assert.deepEqual(
    feed.pending.map(({ id }) => id),
    [6],
  );
});

test("lines of the backlog are not taken from the stream again, other events are", () => {
  const feed = feedOf(line(1));
  feed.load(backlog(5, line(5), line(1)), NOW);
  receive(feed, line(2), change(3), line(5), line(6));
  assert.deepEqual(ids(feed), [6, 5, 3, 1]);
});

test("after a restart equal lines keep their items, which stay open", () => {
  const feed = feedOf(line(3, "c"), line(2, "same"), line(1, "same"));
  const before = [...feed.items];
  before[2].isOpen = true;
  receive(feed, notice(104, "stream.resync"));
  const answer = [line(103, "c"), line(102, "same"), line(101, "same")];
  feed.load(backlog(104, ...answer), NOW);
  assert.deepEqual(ids(feed), [103, 102, 101]);
  assert.deepEqual(feed.items, before);
  assert.ok(feed.items[2].isOpen);
});

test("after a resync that is the last event the newest line is on top", () => {
  const feed = feedOf(line(1));
  receive(feed, notice(50, "stream.resync"));
  feed.load(backlog(50, line(49), line(48)), NOW);
  assert.deepEqual(ids(feed), [49, 48]);
  receive(feed, line(51));
  assert.deepEqual(ids(feed), [51, 49, 48]);
});

test("a resync neither waits nor is counted", () => {
  const feed = feedOf(line(1));
  assert.equal(feed.accept(notice(2, "stream.resync"), NOW), undefined);
  assert.deepEqual([feed.pending, feed.waiting], [[], 0]);
  assert.equal(feed.accept(notice(3, "history.reset"), NOW)?.kind, "notice");
  assert.equal(feed.waiting, 1);
});

test("ids that begin again lower hide nothing", () => {
  const feed = feedOf(line(1_000, "a"), line(999, "b"));
  receive(feed, change(1_001), notice(11, "stream.resync"));
  feed.load(backlog(11, line(10, "a"), line(9, "b")), NOW);
  receive(feed, line(12, "c"));
  assert.deepEqual(
    feed.items.map(({ kind, text }) => (kind === "prompt" ? text : kind)),
    ["c", "file", "a", "b"],
  );
});

test("while paused a backlog waits, and is counted with the events after it", () => {
  const feed = feedOf(line(3, "c"), line(2, "b"), line(1, "a"));
  feed.accept(notice(103, "stream.resync"), NOW);
  feed.accept(line(105, "e"), NOW);
  const answer = [line(105, "e"), line(104, "d"), line(102, "c"), line(101, "a")];
  feed.load(backlog(105, ...answer), NOW, true);
  feed.accept(line(106, "f"), NOW);
  feed.accept(line(105, "e"), NOW);
  assert.deepEqual([texts(feed.items), feed.waiting], [["c", "a"], 3]);
  for (let time = 0; time < 2; time += 1) {
    feed.settle();
    assert.deepEqual(texts(feed.items), ["f", "e", "d", "c", "a"]);
    assert.equal(feed.waiting, 0);
  }
});

test("while paused lines that are gone leave at once, and older ones are not counted", () => {
  const feed = feedOf(line(7, "d"), line(6, "c"), line(5, "b"));
  receive(feed, change(8));
  feed.accept(notice(9, "history.reset"), NOW);
  const answer = [line(10, "e", 3), line(7, "d", 2), line(5, "b", 1), line(4, "a", 0)];
  feed.load(backlog(10, ...answer), NOW, true);
  assert.deepEqual([ids(feed), feed.waiting], [[8, 7, 5], 2]);
  feed.settle();
  assert.deepEqual([ids(feed), feed.waiting], [[10, 9, 8, 7, 5, 4], 0]);
});

test("while paused a history that is gone leaves nothing", () => {
  const feed = feedOf(line(2), line(1));
  feed.load(backlog(3), NOW, true);
  assert.deepEqual([ids(feed), feed.waiting], [[], 0]);
});

test("only the newest thousand events are held", () => {
  const feed = feedOf(line(1), line(0));
  for (let id = 2; id < 12_000; id += 1) feed.accept(line(id), NOW);
  assert.equal(feed.waiting, 11_998);
  assert.ok(feed.pending.length <= 2 * HELD);
  feed.settle();
  assert.deepEqual([feed.items.length, feed.items[0].id], [HELD, 11_999]);
});

test("older lines are read step by step to the beginning of the file", () => {
  const feed = feedOf(...lines(1_700, 1_501));
  const steps = [];
  while (feed.before !== undefined) {
    steps.push(feed.before);
    readOlder(feed, 500);
  }
  assert.deepEqual(steps, [150_100, 100_100, 50_100, 100]);
  assert.deepEqual(
    texts(feed.older.items),
    lines(1_500, 0).map(({ data }) => data.rawLine),
  );
  assert.deepEqual([feed.lineCount, feed.older.hasGap], [1_701, false]);
});

test("a file whose first line is held, or a history without a line, has no older lines", () => {
  assert.equal(feedOf(line(1), line(0)).before, undefined);
  assert.equal(feedOf().before, undefined);
});

test("past the bound the newest older lines are let go, and reading on reaches the beginning", () => {
  const feed = feedOf(...lines(30_000, 29_801));
  while (feed.before !== undefined) {
    readOlder(feed, 1_000);
    assert.ok(feed.older.items.length <= MOST_OLDER);
  }
  assert.deepEqual(texts(feed.older.items).slice(-2), ["line 1", "line 0"]);
  assert.deepEqual([feed.lineCount, feed.older.hasGap], [30_001, true]);
  const [first] = feed.older.items;
  for (let id = 30_001; id < 32_000; id += 1) receive(feed, line(id));
  assert.equal(feed.older.items[0], first);
  assert.equal(feed.lineCount, 32_000);
});

test("past the bound lines that do not match are let go before those that do", () => {
  const feed = feedOf(...lines(30_000, 29_801));
  const isWanted = ({ text }) => text.endsWith("77");
  let found = 0;
  while (feed.before !== undefined) found += readOlder(feed, 1_000, isWanted);
  const wanted = feed.older.items.filter(isWanted);
  assert.deepEqual([found, wanted.length, feed.older.hasGap], [298, 298, false]);
  assert.equal(feed.lineCount, 30_001);
});

test("lines that the newest thousand has no room for join the older ones", () => {
  const feed = feedOf(...lines(2_000, 1_001));
  receive(feed, ...lines(2_010, 2_001).reverse());
  assert.equal(feed.older.items.length, 0);
  readOlder(feed, 500);
  receive(feed, ...lines(2_020, 2_011).reverse());
  const held = feed.items.concat(feed.older.items);
  assert.deepEqual(
    texts(held),
    lines(2_020, 511).map(({ data }) => data.rawLine),
  );
  for (let id = 2_021; id < 20_000; id += 1) receive(feed, line(id));
  assert.equal(feed.older.items.length, MOST_OLDER);
  readOlder(feed, 10);
  assert.deepEqual(texts(feed.items.concat(feed.older.items)).slice(-3), [
    "line 13992",
    "line 13991",
    "line 13990",
  ]);
});

test("other events that the newest thousand has no room for are gone", () => {
  const feed = feedOf(...lines(2_000, 1_001));
  readOlder(feed, 500);
  receive(feed, change(2_001), ...lines(3_100, 2_002).reverse());
  assert.ok(feed.older.items.every(({ kind }) => kind === "prompt"));
  assert.equal(feed.items.length + feed.older.items.length, 1_000 + 500 + 1_099);
});

test("a backlog that reaches into the older lines takes their place", () => {
  const feed = feedOf(...lines(2_000, 1_801));
  readOlder(feed, 500);
  feed.load(backlog(2_001, ...lines(2_000, 1_501)), NOW, true);
  feed.settle();
  const held = texts(feed.items.concat(feed.older.items));
  assert.deepEqual(
    held,
    lines(2_000, 1_301).map(({ data }) => data.rawLine),
  );
  assert.equal(feed.items.length, 500);
});

test("after a reset nothing older is held, and nothing is read until offsets are known again", () => {
  const feed = feedOf(...lines(2_000, 1_801));
  readOlder(feed, 500);
  const { older } = feed;
  feed.accept(notice(2_001, "history.reset"), NOW);
  assert.deepEqual([feed.older.items, feed.before], [[], undefined]);
  older.add({ ...backlog(0, line(1)), before: null }, NOW, all);
  assert.deepEqual(feed.older.items, []);
  feed.load(backlog(2_000, ...lines(2_000, 1_801)), NOW);
  assert.equal(feed.before, undefined, "the answer is older than the reset");
  feed.load(backlog(2_001, line(2_000, "line 2000", 700), line(1_999, "line 1999", 600)), NOW);
  assert.equal(feed.before, 600);
});

test("older lines stay after a resync if the file is the same", () => {
  const feed = feedOf(...lines(2_000, 1_801));
  readOlder(feed, 500);
  const older = feed.older.items.at(-1);
  receive(feed, notice(9_000, "stream.resync"));
  const again = lines(2_100, 1_901).map((event) => ({ ...event, id: event.id + 6_000 }));
  feed.load(backlog(9_001, ...again), NOW);
  const held = feed.items.filter(({ kind }) => kind === "prompt").concat(feed.older.items);
  assert.deepEqual(
    texts(held),
    lines(2_100, 1_301).map(({ data }) => data.rawLine),
  );
  assert.equal(held.at(-1), older);
});

test("older lines are dropped after a resync if lines were purged or missed", () => {
  const moved = lines(2_000, 1_901).map((event) =>
    line(event.id + 6_000, event.data.rawLine, event.data.offset - LINE_BYTES),
  );
  const missed = lines(5_000, 4_801).map((event) => ({ ...event, id: event.id + 6_000 }));
  for (const answer of [moved, missed, []]) {
    const feed = feedOf(...lines(2_000, 1_801));
    readOlder(feed, 500);
    receive(feed, notice(20_000, "stream.resync"));
    feed.load(backlog(20_001, ...answer), NOW);
    assert.deepEqual(feed.older.items, []);
    assert.equal(feed.before, answer.at(-1)?.data.offset);
  }
});

test("lines that were read while a backlog waited are not there twice", () => {
  const feed = feedOf(...lines(400, 201));
  feed.load(backlog(401, ...lines(400, 1)), NOW, true);
  readOlder(feed, 100);
  feed.settle();
  const held = texts(feed.items.concat(feed.older.items));
  assert.equal(new Set(held).size, held.length);
  assert.deepEqual(
    held,
    lines(400, 1).map(({ data }) => data.rawLine),
  );
});

test("any sequence of events, backlogs, resyncs and older lines leaves every line there once", () => {
  const random = new Random(7);
  for (let round = 0; round < 200; round += 1) {
    const feed = new Feed();
    let newest = 2_000 + random.below(50);
    const newestLines = () => lines(newest, newest - 9);
    feed.load(backlog(newest, ...newestLines()), NOW);
    for (let step = 0; step < 60; step += 1) {
      const act = random.below(6);
      if (act === 0) feed.load(backlog(newest, ...newestLines()), NOW, random.below(3) === 0);
      else if (act === 1) feed.accept(notice(newest, "stream.resync"), NOW);
      else if (act === 2) feed.settle();
      else if (act === 3 && feed.before !== undefined) readOlder(feed, 1 + random.below(9));
      else feed.accept(line((newest += 1)), NOW);
    }
    feed.load(backlog(newest, ...newestLines()), NOW);
    feed.settle();
    const held = feed.items.concat(feed.older.items).filter(({ kind }) => kind === "prompt");
    const last = newest - held.length + 1;
    assert.deepEqual(
      texts(held),
      lines(newest, last).map(({ data }) => data.rawLine),
      `${round}`,
    );
  }
});

test("agents' rows do not take the place of prompts", () => {
  const feed = feedOf(...lines(300, 1));
  const text = (id) => [{ kind: "text", text: `work ${id}` }];
  const work = (id) => ({ id, ts: TS, type: "transcript.append", data: { blocks: text(id) } });
  receive(feed, ...Array.from({ length: 3_000 }, (_, at) => work(1_000 + at)));
  assert.equal(feed.items.filter(({ kind }) => kind === "prompt").length, 300);
  assert.equal(feed.items[0].text, "work 3999");
  assert.equal(feed.items.filter(({ kind }) => kind === "agent").length, 400);
});

test("lines of a fleet's machines have no older ones to read", () => {
  const feed = new Feed();
  const event = { id: 1, ts: TS, type: "history.append", data: { rawLine: "{}", offset: 7 } };
  feed.load({ limit: 1, lastEventId: 1, events: [{ ...event, machine: "one" }] }, NOW);
  assert.equal(feed.before, undefined);
  feed.load({ limit: 1, lastEventId: 2, events: [{ ...event, id: 2 }] }, NOW);
  assert.equal(feed.before, 7);
});
