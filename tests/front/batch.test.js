import assert from "node:assert/strict";
import { test } from "node:test";

import { batch } from "../../static/batch.js";
import { Clock, settled } from "./clock.js";

test("the first run after a pause is immediate, the next ones come once per second", async () => {
  const clock = new Clock();
  const runs = [];
  const request = batch(() => runs.push(clock.ms), clock.now, clock.later);
  request();
  assert.deepEqual(runs, [0]);
  for (let ms = 10; ms <= 3_500; ms += 10) {
    await clock.to(ms);
    request();
  }
  assert.deepEqual(runs, [0, 1_000, 2_000, 3_000]);
  await clock.to(4_000);
  await clock.to(9_000);
  assert.deepEqual(runs, [0, 1_000, 2_000, 3_000, 4_000]);
  request();
  assert.deepEqual(runs.at(-1), 9_000);
});

test("a run that takes long is not overtaken, and a request meanwhile is not lost", async () => {
  const clock = new Clock();
  const ends = [];
  const request = batch(() => new Promise((end) => ends.push(end)), clock.now, clock.later);
  request();
  for (const ms of [100, 5_000, 9_000]) {
    await clock.to(ms);
    request();
  }
  assert.equal(ends.length, 1);
  ends[0]();
  await settled();
  assert.equal(ends.length, 2);
  ends[1]();
  await settled();
  await clock.to(20_000);
  assert.equal(ends.length, 2);
});
