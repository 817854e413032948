import assert from "node:assert/strict";
import { test } from "node:test";

import { pretty, tree } from "../../static/json.js";

test("pretty text equals that of JSON.stringify where it keeps the spelling", () => {
  const values = [
    {},
    [],
    { a: [] },
    { a: [1, { b: {} }], c: 'x"y\\', d: [[], [[]]], "": null },
    [1.5, true, false, null, "{[,:]}"],
    "just a string",
    42,
    null,
  ];
  for (const value of values)
    assert.equal(pretty(JSON.stringify(value)), JSON.stringify(value, null, 2));
  assert.equal(pretty(' { "a" :\t[ 1 ,\n2 ] } '), '{\n  "a": [\n    1,\n    2\n  ]\n}');
});

test("numbers keep their digits, keys their order and their duplicates", () => {
  assert.equal(
    pretty('{"2":12345678901234567890123,"1":1e400,"2":-0.10}'),
    '{\n  "2": 12345678901234567890123,\n  "1": 1e400,\n  "2": -0.10\n}',
  );
});

test("a tree has kinds, keys and texts as they are spelled", () => {
  const { kind, items } = tree('{"__proto__":"x","constructor":[1,null],"e":{},"":"\\\\"}');
  assert.equal(kind, "object");
  assert.deepEqual(
    items.map(({ kind, key, text }) => [kind, key, text]),
    [
      ["string", '"__proto__"', '"x"'],
      ["array", '"constructor"', "["],
      ["object", '"e"', "{"],
      ["string", '""', '"\\\\"'],
    ],
  );
  assert.deepEqual(
    items[1].items.map(({ kind, key }) => [kind, key]),
    [
      ["number", undefined],
      ["word", undefined],
    ],
  );
});

test("deep nesting does not overflow the stack", () => {
  const depth = 100_000;
  let node = tree("[".repeat(depth) + "]".repeat(depth));
  for (let level = 1; level < depth; level += 1) node = node.items[0];
  assert.equal(node.items.length, 0);
});

test("text that is not JSON throws a SyntaxError", () => {
  for (const text of ["", "{", "]", '{"a":1}}', '"cut', '{"a":"cut', "1 2"])
    assert.throws(() => tree(text), SyntaxError, text);
});
