import assert from "node:assert/strict";
import { test } from "node:test";

import { World } from "./browser.js";
import { Random } from "./random.js";

/** Ids of events without those of resyncs. */
const ids = ({ events }) => events.map(({ id }) => id);
const range = (first, last) => Array.from({ length: last - first + 1 }, (_, at) => first + at);

/** The tab's events are all after its start, up to the newest. */
function isComplete(world, tab, message) {
  assert.deepEqual(ids(tab), range(tab.from + 1, world.server.lastId), message);
  assert.equal(tab.state, "live", message);
}

async function started(world) {
  const tab = world.open();
  tab.start();
  await world.settle();
  return tab;
}

test("tabs share one stream, and each gets every event once", async () => {
  const world = new World();
  const tabs = [await started(world), await started(world), await started(world)];
  for (let count = 0; count < 5; count += 1) world.server.publish();
  await world.settle();
  assert.equal(world.server.sources.size, 1);
  for (const tab of tabs) isComplete(world, tab);
});

test("tabs get the types of their views and the server's own, whatever comes between", async () => {
  const world = new World();
  const tabs = [await started(world), await started(world)];
  const types = ["session.changed", "transcript.append", "server.error", "history.append"];
  for (const type of types) world.server.publish(type);
  await world.settle();
  const wanted = ["session.changed", "server.error", "history.append"];
  for (const tab of tabs) assert.deepEqual(tab.events.map(({ type }) => type), wanted);
  for (let count = 0; count < 5; count += 1) world.server.publish("transcript.append");
  world.close(tabs[0]);
  world.server.publish("session.changed");
  await world.settle();
  assert.deepEqual(tabs[1].events.map(({ type }) => type), [...wanted, "session.changed"]);
});

test("a leader that answers keeps its lead and its connection, whatever the others ask", async () => {
  const world = new World();
  const tabs = [await started(world), await started(world), await started(world)];
  for (let count = 0; count < 20; count += 1) {
    world.server.publish();
    await world.step();
    for (const tab of tabs) world.as(tab, () => tab.stream.reconnectNow());
    await world.pass(10_000);
  }
  assert.equal(world.locks.holder.tab, tabs[0]);
  assert.equal(world.server.opened, 1);
  for (const tab of tabs) isComplete(world, tab);
});

test("a leader that goes back first posts the events it has", async () => {
  const world = new World();
  const [leader, other] = [await started(world), await started(world)];
  const late = world.open();
  world.server.publish();
  await world.settle();
  world.server.publish();
  await world.step();
  const isOfPorts = ({ queue }) => "onmessage" in queue && !("postMessage" in queue);
  const held = world.tasks.filter(isOfPorts);
  assert.equal(held.length, 1);
  world.tasks = world.tasks.filter((task) => !held.includes(task));
  late.start();
  await world.settle();
  world.tasks.push(...held);
  await world.settle();
  for (const tab of [leader, other, late]) isComplete(world, tab);
});

test("a tab that opens while the leader dies gets all events after its backlog", async () => {
  const world = new World();
  const leader = await started(world);
  const late = world.open();
  world.server.publish();
  await world.settle();
  late.start();
  world.close(leader);
  world.server.publish();
  await world.settle();
  isComplete(world, late);
});

test("a tab that opens gets the posts before its start, also without another event", async () => {
  const world = new World();
  const leader = await started(world);
  const late = world.open();
  world.server.publish();
  await world.settle();
  late.start();
  await world.settle();
  for (const tab of [leader, late]) isComplete(world, tab);
});

test("a tab that has missed a post is given it as soon as it gets another", async () => {
  const world = new World();
  const tabs = [await started(world), await started(world)];
  world.server.publish();
  await world.step();
  await world.step();
  world.tasks = world.tasks.filter(({ tab }) => tab !== tabs[1]);
  await world.settle();
  assert.deepEqual([ids(tabs[0]).length, ids(tabs[1]).length], [1, 0]);
  world.server.publish();
  await world.settle();
  for (const tab of tabs) isComplete(world, tab);
});

test("a request to go back outlives a failed connection", async () => {
  const world = new World();
  const leader = await started(world);
  const late = world.open();
  world.server.publish();
  await world.settle();
  late.start();
  world.server.stop();
  await world.settle();
  world.server.isUp = true;
  await world.pass(60_000);
  for (const tab of [leader, late]) isComplete(world, tab);
});

test("a flood is delivered and posted in short tasks, in its order", async () => {
  const world = new World();
  const [leader, other] = [await started(world), await started(world)];
  world.workMs = 6;
  for (let count = 0; count < 100; count += 1) world.server.publish();
  const counts = [];
  for (let before = 0; await world.step(); before = leader.events.length)
    counts.push(leader.events.length - before);
  assert.equal(Math.max(...counts), 4);
  for (const tab of [leader, other]) isComplete(world, tab);
});

test("what came before a break is delivered before the state", async () => {
  const world = new World();
  const tab = await started(world);
  world.workMs = 30;
  for (let count = 0; count < 5; count += 1) world.server.publish();
  world.server.stop();
  const states = [];
  while (await world.step()) states.push([tab.events.length, tab.state]);
  const broken = states.find(([, state]) => state !== "live");
  assert.deepEqual(broken, [5, "reconnecting"]);
  world.server.isUp = true;
  await world.pass(10_000);
  isComplete(world, tab);
});

test("a leader that dies with its last events undelivered loses none of them", async () => {
  const world = new World();
  const [leader, ...others] = [await started(world), await started(world), await started(world)];
  world.server.publish();
  await world.step();
  assert.deepEqual([ids(leader).length, ids(others[0]).length], [0, 0]);
  world.close(leader);
  await world.settle();
  for (const tab of others) isComplete(world, tab);
});

test("a frozen leader is replaced, and a thawed one follows", async () => {
  const world = new World();
  const [leader, other] = [await started(world), await started(world)];
  world.frozen = leader;
  world.server.publish();
  await world.pass(120_000);
  isComplete(world, other);
  world.frozen = undefined;
  await world.pass(60_000);
  for (const tab of [leader, other]) isComplete(world, tab);
  assert.equal(world.server.sources.size, 1);
});

test("a tab that steals the lock from itself stays connected", async () => {
  const world = new World();
  const [leader, other] = [await started(world), await started(world)];
  world.frozen = leader;
  await world.pass(1);
  for (let count = 0; count < 3; count += 1) world.as(other, () => other.stream.reconnectNow());
  await world.pass(10_000);
  assert.equal(world.locks.holder.tab, other);
  assert.ok([...world.server.sources].some(({ tab }) => tab === other));
  world.server.publish();
  await world.settle();
  isComplete(world, other);
});

test("a leader that loses the lock while it is offline says no more about the connection", async () => {
  const world = new World();
  const [leader, other] = [await started(world), await started(world)];
  const answers = [];
  globalThis.fetch = () => new Promise((resume) => answers.push(resume));
  world.server.stop();
  await world.settle();
  world.frozen = leader;
  await world.pass(1);
  world.server.isUp = true;
  world.as(other, () => other.stream.reconnectNow());
  await world.pass(10_000);
  assert.equal(world.locks.holder.tab, other);
  world.frozen = undefined;
  await world.settle();
  for (const answer of answers) answer({ status: 200 });
  await new Promise((resume) => setImmediate(resume));
  for (const tab of [leader, other]) isComplete(world, tab);
});

test("after a restart every tab is resynchronised once, also where ids begin again lower", async () => {
  for (const firstId of [2_000_000, 10]) {
    const world = new World();
    const tabs = [await started(world), await started(world)];
    world.server.publish();
    await world.settle();
    world.server.restart(firstId);
    await world.pass(30_000);
    world.server.publish();
    await world.settle();
    for (const tab of tabs) {
      assert.deepEqual(ids(tab), [1_001, firstId + 1, firstId + 2], `${firstId}`);
    }
  }
});

test("a resync that repeats the id of a known event is not delivered", async () => {
  const world = new World();
  const tab = await started(world);
  world.server.publish();
  await world.settle();
  const resync = { id: 1_001, type: "server.notice", data: { kind: "stream.resync" } };
  tab.stream.deliver({ type: "server.notice", data: JSON.stringify(resync) }, 1_000);
  assert.deepEqual(ids(tab), [1_001]);
});

test("a late resync of another tab is not delivered to a tab whose backlog is newer", async () => {
  const world = new World({ ring: 1 });
  const leader = world.open();
  for (let count = 0; count < 3; count += 1) world.server.publish();
  leader.start();
  await world.step();
  await world.step();
  await world.step();
  const late = await started(world);
  world.server.publish();
  await world.settle();
  assert.deepEqual(ids(leader), [1_004, 1_005]);
  assert.deepEqual(ids(late), [1_005]);
});

test("whatever happens in whatever order, each tab gets each event once", async () => {
  for (let seed = 1; seed <= 150; seed += 1) {
    const random = new Random(seed);
    const world = new World({ choose: (count) => random.below(count) });
    world.workMs = random.below(12);
    for (let act = 0; act < 60; act += 1) {
      const choice = random.below(12);
      const tab = world.tabs[random.below(world.tabs.length || 1)];
      if (choice === 0 && world.tabs.length < 5) world.open();
      else if (choice === 1) world.server.stop();
      else if (choice === 2) world.server.isUp = true;
      else if (choice === 3 && tab && world.tabs.length > 1) world.close(tab);
      else if (choice === 4) await world.pass(random.below(20_000));
      else if (choice === 5 && tab?.start) {
        tab.start();
        tab.start = undefined;
      } else if (choice < 9) world.server.publish();
      else for (let count = random.below(5); count > 0; count -= 1) await world.step();
    }
    world.server.isUp = true;
    for (const tab of world.tabs) tab.start?.();
    await world.pass(120_000);
    for (const tab of world.tabs) isComplete(world, tab, `seed ${seed}`);
  }
});

test("with a small ring a tab misses events only up to a resync, and always gets the newest", async () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const random = new Random(seed);
    const world = new World({ ring: 3, choose: (count) => random.below(count) });
    for (let act = 0; act < 60; act += 1) {
      const choice = random.below(10);
      const tab = world.tabs[random.below(world.tabs.length || 1)];
      if (choice === 0 && world.tabs.length < 4) world.open().start();
      else if (choice === 1) world.server.stop();
      else if (choice === 2) world.server.isUp = true;
      else if (choice === 3 && tab && world.tabs.length > 1) world.close(tab);
      else if (choice === 4) await world.pass(random.below(20_000));
      else if (choice < 7) world.server.publish();
      else for (let count = random.below(5); count > 0; count -= 1) await world.step();
    }
    world.server.isUp = true;
    await world.pass(120_000);
    for (const tab of world.tabs) {
      let position = tab.from;
      for (const { id, type } of tab.events) {
        const missed = world.server.published.filter((other) => other > position && other < id);
        assert.ok(id > position && (!missed.length || type === "server.notice"), `seed ${seed}`);
        position = id;
      }
      assert.ok(position >= (world.server.published.at(-1) ?? 0), `seed ${seed}`);
    }
  }
});
