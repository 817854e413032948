import assert from "node:assert/strict";
import { test } from "node:test";

import { hour, today } from "../../static/tally.js";

const NOON = new Date(2026, 10, 23, 12, 0, 30).getTime();
const MINUTE = 60_000;
const typed = (ms, project = "/p/a", session = "s1") => ({ kind: "prompt", ms, project, session });

test("today's totals count prompts since midnight", () => {
  const items = [
    typed(NOON),
    typed(NOON - MINUTE, "/p/b", "s2"),
    typed(NOON - MINUTE, "", ""),
    { ...typed(NOON), kind: "file" },
    { ...typed(NOON), kind: "broken" },
    typed(NOON - 13 * 60 * MINUTE),
  ];
  assert.deepEqual(today(items, NOON), { prompts: 3, sessions: 2, projects: 2, isPartial: false });
  assert.equal(today(items.slice(0, 5), NOON).isPartial, true);
});

test("the hour has sixty minutes, the current one last", () => {
  const items = [
    typed(NOON),
    typed(NOON - 20_000, "/p/b"),
    typed(NOON, "/p/b"),
    typed(NOON - 59 * MINUTE),
    typed(NOON - 61 * MINUTE),
    typed(NOON + 5 * MINUTE),
  ];
  const minutes = hour(items, NOON);
  assert.equal(minutes.length, 60);
  assert.deepEqual(minutes[59], {
    ms: NOON - 30_000,
    total: 3,
    parts: [
      ["/p/b", 2],
      ["/p/a", 1],
    ],
  });
  assert.equal(minutes[0].total, 1);
  assert.equal(
    minutes.reduce((sum, { total }) => sum + total, 0),
    4,
  );
});
