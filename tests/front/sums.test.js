import assert from "node:assert/strict";
import { test } from "node:test";

import {
  OTHER,
  dayOf,
  daysTo,
  groupsOf,
  roundUp,
  sorted,
  stack,
  sumOf,
  zone,
} from "../../static/sums.js";
import { Random } from "./random.js";

const row = (day, model, costUsd, more = {}) => ({
  day,
  project: "/p/a",
  model,
  sessionId: "s1",
  responses: 1,
  input: 1,
  output: 20,
  cacheRead: 300,
  cacheWrite: 4_000,
  ...(costUsd === undefined ? {} : { costUsd }),
  ...more,
});

test("the time zone is spelled as the server reads it", () => {
  const table = [
    [0, "+00:00"],
    [-120, "+02:00"],
    [300, "-05:00"],
    [-345, "+05:45"],
    [210, "-03:30"],
    [-840, "+14:00"],
  ];
  for (const [minutes, text] of table) assert.equal(zone(minutes), text);
});

test("a day begins at midnight of the browser's time zone", () => {
  const ms = Date.parse("2026-11-25T23:30:00Z");
  assert.equal(dayOf(ms, 0), "2026-11-25");
  assert.equal(dayOf(ms, -60), "2026-11-26");
  assert.equal(dayOf(Date.parse("2026-11-25T00:30:00Z"), 60), "2026-11-24");
});

test("days go up to the present one, across months and leap days", () => {
  assert.deepEqual(daysTo("2028-03-01", 3), ["2028-02-28", "2028-02-29", "2028-03-01"]);
  assert.deepEqual(daysTo("2026-11-25", 1), ["2026-11-25"]);
  const days = daysTo("2026-11-25", 90);
  assert.equal(new Set(days).size, 90);
  assert.equal(days[0], "2026-08-28");
});

test("a sum has every token, and the cost of what has a price", () => {
  const rows = [row("2026-11-24", "opus", 0.5), row("2026-11-25", "opus", 0.25)];
  assert.deepEqual(sumOf(rows, "x"), {
    name: "x",
    last: rows[1],
    responses: 2,
    input: 2,
    output: 40,
    cacheRead: 600,
    cacheWrite: 8_000,
    tokens: 8_642,
    cost: 0.75,
    isLess: false,
    agents: undefined,
  });
  const { cost, isLess } = sumOf([...rows, row("2026-11-25", "next")]);
  assert.deepEqual({ cost, isLess }, { cost: 0.75, isLess: true });
  assert.equal(sumOf([row("2026-11-25", "next")]).cost, undefined);
  const agents = [{ costUsd: 0.5 }, {}, { costUsd: 0.25 }, undefined];
  const session = agents.map((subagents) => row("2026-11-25", "opus", 1, { subagents }));
  assert.deepEqual([sumOf(session).agents, sumOf(session).cost], [0.75, 4]);
  assert.equal(sumOf([row("2026-11-25", "free", 0)]).cost, 0);
  assert.deepEqual([sumOf([]).cost, sumOf([]).isLess, sumOf([]).tokens], [0, false, 0]);
});

test("the groups of any field add up to the sum of all rows", () => {
  const random = new Random(15);
  const days = daysTo("2026-11-25", 5);
  const rows = Array.from({ length: 500 }, () => ({
    ...row(days[random.below(5)], `m${random.below(4)}`, random.below(100) / 4),
    project: random.below(9) ? `/p/${random.below(12)}` : undefined,
    sessionId: `s${random.below(60)}`,
    output: random.below(1_000),
  }));
  const all = sumOf(rows);
  for (const field of ["project", "model", "sessionId"]) {
    const groups = groupsOf(rows, field);
    assert.equal(new Set(groups.map(({ name }) => name)).size, groups.length);
    for (const key of ["responses", "output", "tokens", "cost"]) {
      assert.equal(groups.reduce((sum, group) => sum + group[key], 0), all[key], `${field} ${key}`);
    }
  }
  for (const measure of ["cost", "tokens"]) {
    const { names, totals, days: columns } = stack(rows, days, "project", measure);
    assert.equal(names.length, 9);
    assert.equal(names.at(-1), OTHER);
    assert.equal(totals.reduce((sum, total) => sum + total, 0), all[measure]);
    assert.equal(columns.reduce((sum, { total }) => sum + total, 0), all[measure]);
  }
});

test("a chart has every day, and the largest series first", () => {
  const rows = [
    row("2026-11-23", "small", 1),
    row("2026-11-25", "large", 4),
    row("2026-11-25", "small", 2),
    row("2026-11-25", "next"),
    row("2026-11-20", "large", 100),
  ];
  const inRange = rows.slice(0, 4);
  assert.deepEqual(stack(inRange, daysTo("2026-11-25", 3), "model", "cost"), {
    names: ["large", "small"],
    totals: [4, 3],
    days: [
      { day: "2026-11-23", total: 1, values: [0, 1] },
      { day: "2026-11-24", total: 0, values: [0, 0] },
      { day: "2026-11-25", total: 6, values: [4, 2] },
    ],
  });
  const { names } = stack(inRange, daysTo("2026-11-25", 3), "model", "tokens");
  assert.deepEqual(names.toSorted(), ["large", "next", "small"]);
  assert.deepEqual(stack([], ["2026-11-25"], "model", "cost").totals, []);
});

test("groups sort by a figure or a text, and those without it are last", () => {
  const groups = [
    { name: "b", cost: 1, tokens: 5 },
    { name: "c", cost: undefined, tokens: 9 },
    { name: "a", cost: 3, tokens: 1 },
    { name: "d", cost: 1, tokens: 7 },
  ];
  const names = (valueOf, isDown) =>
    sorted(groups, valueOf, isDown)
      .map(({ name }) => name)
      .join("");
  assert.equal(names(({ cost }) => cost, true), "adbc");
  assert.equal(names(({ cost }) => cost, false), "dbac");
  assert.equal(names(({ name }) => name, false), "abcd");
  assert.equal(names(({ name }) => name, true), "dcba");
});

test("the scale ends at a short number", () => {
  const table = [
    [0, 1],
    [-Infinity, 1],
    [0.004, 0.004],
    [0.9, 1],
    [1, 1],
    [2.1, 3],
    [53, 60],
    [61, 80],
    [99, 100],
    [1_200_000, 2_000_000],
  ];
  for (const [value, top] of table) assert.equal(roundUp(value).toPrecision(3), top.toPrecision(3));
});
