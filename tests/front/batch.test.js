import assert from "node:assert/strict";
import { test } from "node:test";

import { batch } from "../../static/batch.js";

/** A clock that is moved by hand. */
function clock() {
  let [now, steps] = [0, []];
  return {
    now: () => now,
    later: (step, ms) => steps.push([now + ms, step]),
    to(ms) {
      now = ms;
      const due = steps.filter(([at]) => at <= now);
      steps = steps.filter(([at]) => at > now);
      for (const [, step] of due) step();
    },
  };
}

test("the first after a quiet second runs at once, the rest once a second", () => {
  const time = clock();
  const runs = [];
  const poke = batch(() => runs.push(time.now()), time.now, time.later);
  poke();
  assert.deepEqual(runs, [0]);
  for (let ms = 10; ms <= 3_500; ms += 10) {
    time.to(ms);
    poke();
  }
  assert.deepEqual(runs, [0, 1_000, 2_000, 3_000]);
  time.to(4_000);
  time.to(9_000);
  assert.deepEqual(runs, [0, 1_000, 2_000, 3_000, 4_000]);
  poke();
  assert.deepEqual(runs.at(-1), 9_000);
});
