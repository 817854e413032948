import assert from "node:assert/strict";
import { test } from "node:test";

import { Feed, HELD, noticeKind } from "../../static/feed.js";

const NOW = 1_795_000_000_000;
const line = (id, rawLine = `line ${id}`) => ({ id, ts: "2026-11-23T12:00:00Z", type: "history.append", data: { rawLine, summary: { display: rawLine } } });
const change = (id) => ({ id, ts: "2026-11-23T12:00:00Z", type: "file.changed", data: { path: "stats-cache.json", change: "modified" } });
const notice = (id, kind) => ({ id, ts: "2026-11-23T12:00:00Z", type: "server.notice", data: { kind, msg: kind, currentId: id } });
const backlog = (lastEventId, ...lines) => ({ limit: 200, lastEventId, events: lines });
const ids = (feed) => feed.items.map(({ id }) => id);

function feedOf(...lines) {
  const feed = new Feed();
  feed.load(backlog(lines[0]?.id ?? 0, ...lines), NOW);
  return feed;
}

function hear(feed, ...events) {
  for (const event of events) feed.accept(event, NOW);
  feed.settle();
}

test("the backlog comes first and the stream goes on behind it", () => {
  const feed = feedOf(line(3), line(2));
  assert.equal(feed.lastId, 3);
  hear(feed, line(2), line(3), line(4), change(5), line(4));
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

test("a backlog that is read again replaces the history and nothing else", () => {
  const feed = feedOf(line(2), line(1));
  hear(feed, change(3), line(4));
  feed.accept(line(6), NOW);
  const [kept] = feed.items;
  feed.load(backlog(5, line(5), line(4)), NOW);
  assert.deepEqual(ids(feed), [5, 4, 3]);
  assert.equal(feed.items[1], kept);
  assert.deepEqual(feed.pending.map(({ id }) => id), [6]);
});

test("history that was in the backlog already is not heard again, other events are", () => {
  const feed = feedOf(line(1));
  feed.load(backlog(5, line(5), line(1)), NOW);
  hear(feed, line(2), change(3), line(5), line(6));
  assert.deepEqual(ids(feed), [6, 5, 3, 1]);
});

test("after a restart the same lines are the same items, with what is open", () => {
  const feed = feedOf(line(3, "c"), line(2, "same"), line(1, "same"));
  const before = [...feed.items];
  before[2].open = true;
  hear(feed, notice(103, "stream.resync"));
  feed.load(backlog(103, line(103, "c"), line(102, "same"), line(101, "same")), NOW);
  assert.deepEqual(ids(feed), [103.5, 103, 102, 101]);
  assert.deepEqual(feed.items.slice(1), before);
  assert.ok(feed.items[3].open);
});

test("a resync is one row however often it is said, and the stream goes on from its id", () => {
  const feed = feedOf(line(1));
  hear(feed, notice(50, "stream.resync"), notice(50, "stream.resync"), line(51));
  assert.deepEqual(ids(feed), [51, 50.5, 1]);
  assert.equal(feed.lastId, 51);
});

test("ids that went backwards hide nothing", () => {
  const feed = feedOf(line(1_000, "a"), line(999, "b"));
  hear(feed, change(1_001), notice(10, "stream.resync"));
  feed.load(backlog(10, line(10, "a"), line(9, "b")), NOW);
  hear(feed, line(11, "c"));
  assert.deepEqual(feed.items.map(({ text }) => text), ["c", "claude-live was restarted or far ahead; the rows are up to date", "stats-cache.json modified", "a", "b"]);
});

test("while paused a backlog that is read again waits, and is counted with what came after it", () => {
  const feed = feedOf(line(3, "c"), line(2, "b"), line(1, "a"));
  feed.accept(notice(103, "stream.resync"), NOW);
  feed.accept(line(104, "e"), NOW);
  feed.load(backlog(104, line(104, "e"), line(103, "d"), line(102, "c"), line(101, "a")), NOW, true);
  feed.accept(line(105, "f"), NOW);
  feed.accept(line(104, "e"), NOW);
  assert.deepEqual(feed.items.map(({ text }) => text), ["c", "a"]);
  assert.equal(feed.waiting, 4);
  feed.settle();
  assert.deepEqual(feed.items.map(({ text }) => text).filter((text) => text.length === 1), ["f", "e", "d", "c", "a"]);
  assert.deepEqual([feed.items.length, feed.waiting], [6, 0]);
  feed.settle();
  assert.equal(feed.items.length, 6);
});

test("while paused what is gone goes at once, what is new and what is older waits, and older is not counted", () => {
  const feed = feedOf(line(7, "d"), line(6, "c"), line(5, "b"));
  hear(feed, change(8));
  feed.accept(notice(9, "history.reset"), NOW);
  feed.load(backlog(10, line(10, "e"), line(7, "d"), line(5, "b"), line(4, "a")), NOW, true);
  assert.deepEqual([ids(feed), feed.waiting], [[8, 7, 5], 2]);
  feed.extend(feed.older(backlog(10, line(4, "a")), NOW));
  const [older] = feed.items.slice(-1);
  feed.settle();
  assert.deepEqual([ids(feed), feed.waiting], [[10, 9, 8, 7, 5, 4], 0]);
  assert.equal(feed.items.at(-1), older);
});

test("while paused a history that is gone leaves nothing", () => {
  const feed = feedOf(line(2), line(1));
  feed.load(backlog(3), NOW, true);
  assert.deepEqual([ids(feed), feed.waiting], [[], 0]);
});

test("older events join what is held, and none twice", () => {
  const feed = feedOf(line(5), line(4));
  const all = backlog(6, ...[6, 5, 4, 3, 2].map((id) => line(id)));
  feed.extend(feed.older(all, NOW));
  feed.extend(feed.older(all, NOW));
  assert.deepEqual(ids(feed), [5, 4, 3, 2]);
  feed.load(backlog(9, line(9), line(5)), NOW);
  assert.deepEqual(feed.older(all, NOW), []);
});

test("an overtaken answer is ignored", () => {
  const feed = feedOf(line(1));
  feed.load(backlog(9, line(9)), NOW);
  feed.load(backlog(8, line(8)), NOW);
  assert.deepEqual(ids(feed), [9]);
});

test("no more is held than the newest thousand, and what is open", () => {
  const feed = feedOf(line(1), line(0));
  feed.items[0].open = true;
  for (let id = 2; id < 12_000; id += 1) feed.accept(line(id), NOW);
  assert.equal(feed.waiting, 11_998);
  assert.ok(feed.pending.length <= 2 * HELD);
  feed.settle();
  assert.equal(feed.items.length, HELD);
  assert.deepEqual([feed.items[0].id, feed.items.at(-1).id, feed.items.at(-2).id], [11_999, 1, 11_001]);
});

test("no row is there twice after any sequence of reconnects", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 200; round += 1) {
    const feed = new Feed();
    let [newest, lines] = [random(50) + 1, []];
    const say = () => {
      newest += 1;
      const event = random(4) ? line(newest, `${newest}`) : change(newest);
      if (event.type === "history.append") lines.unshift(event);
      return event;
    };
    const sent = Array.from({ length: 30 }, say);
    feed.load(backlog(newest, ...lines.slice(0, 10)), NOW);
    for (let step = 0; step < 40; step += 1) {
      const [from, act] = [random(sent.length), random(6)];
      if (act === 0) for (const event of sent.slice(from)) feed.accept(event, NOW);
      else if (act === 1) feed.load(backlog(newest, ...lines.slice(0, 10)), NOW);
      else if (act === 2) feed.accept(notice(newest, "stream.resync"), NOW);
      else if (act === 3) feed.settle();
      else sent.push(say()) && feed.accept(sent.at(-1), NOW);
    }
    feed.load(backlog(newest, ...lines.slice(0, 10)), NOW);
    feed.settle();
    const shown = ids(feed);
    assert.equal(new Set(shown).size, shown.length, `round ${round}`);
    assert.deepEqual(shown, [...shown].sort((a, b) => b - a), `round ${round}`);
    for (const { id } of lines.slice(0, 10)) assert.ok(shown.includes(id), `round ${round}, ${id}`);
  }
});

test("only notices have a notice's kind", () => {
  assert.equal(noticeKind(notice(1, "history.reset")), "history.reset");
  assert.ok(!noticeKind({ ...line(1), data: { kind: "history.reset" } }));
});
