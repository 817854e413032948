import assert from "node:assert/strict";
import { test } from "node:test";

import { COLORS, Colors } from "../../static/colors.js";

const names = (count, prefix = "name") =>
  Array.from({ length: count }, (_, at) => `${prefix} ${at}`);
const colorsOf = (colors, all) => all.map((name) => JSON.stringify(colors.of(name)));

test("names that are shown together have different colours while colours last", () => {
  const colors = new Colors({});
  const shown = names(COLORS);
  for (let count = 1; count <= COLORS; count += 1) colors.assign(shown.slice(0, count));
  assert.equal(new Set(colorsOf(colors, shown)).size, COLORS);
  const before = colorsOf(colors, shown);
  colors.assign([...shown, ...names(9, "more")]);
  assert.equal(colors.changes, 0);
  assert.deepEqual(colorsOf(colors, shown), before);
});

test("colours that are assigned one after the other are far apart", () => {
  const colors = new Colors({});
  const shown = names(COLORS);
  colors.assign(shown);
  const hues = shown.map((name) => colors.of(name)["--hue"]);
  for (let at = 1; at < COLORS; at += 1) {
    const apart = Math.abs(hues[at] - hues[at - 1]);
    assert.ok(Math.min(apart, 360 - apart) >= 60, `${hues}`);
  }
});

test("a name keeps its colour while others come and go, and after a reload", () => {
  const storage = {};
  const colors = new Colors(storage);
  colors.assign(["/home/me/alpha"]);
  const before = colors.of("/home/me/alpha");
  for (let at = 0; at < 10; at += 1) colors.assign(names(COLORS, `round ${at}`));
  assert.deepEqual(colors.of("/home/me/alpha"), before);
  assert.deepEqual(new Colors(storage).of("/home/me/alpha"), before);
  assert.ok(!storage.claudeLiveColors.includes("alpha"));
});

test("of two names that come to share a colour, the later gets another", () => {
  const colors = new Colors({});
  const [old] = names(1, "old");
  colors.assign([old]);
  const before = colors.of(old);
  colors.assign(names(COLORS, "new"));
  const twin = names(COLORS, "new").find((name) => colors.of(name)["--hue"] === before["--hue"]);
  colors.assign([old, twin]);
  assert.equal(colors.changes, 1);
  assert.deepEqual(colors.of(old), before);
  assert.notDeepEqual(colors.of(twin), before);
  colors.assign([twin, old]);
  assert.equal(colors.changes, 1);
});

test("the remembered colours are bounded, and need not be readable", () => {
  const storage = { claudeLiveColors: "{no json" };
  const colors = new Colors(storage);
  for (let at = 0; at < 100; at += 1) colors.assign(names(COLORS, `round ${at}`));
  assert.equal(JSON.parse(storage.claudeLiveColors).length, 500);
});
