/** Themes, widths, contrast, and lines that try to break the page. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";

import {
  ROWS,
  WIDTHS,
  append,
  inState,
  line,
  lines,
  open,
  said,
  sees,
  unproblematic,
  until,
} from "./harness.js";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const HOSTILE = [
  "<img src=x onerror=\"globalThis.ran = 'img'\"><script>globalThis.ran = 'script'</script>",
  "</td></tr></table><h1>out</h1>",
  "javascript:globalThis.ran='url'",
  "\u202Etxet desrever \u2066isolated\u2069 \u200Fmark",
  "\u001b[31mred\u001b[0m \u0007 bell \u0000 nul",
  "w".repeat(200_000),
  "Z\u0300\u0301\u0302\u0303\u0304".repeat(40),
  "\u2028\u2029 separators",
  "__proto__",
  "%s %o {{7*7}} ${globalThis.ran=1}",
  "👩‍👩‍👧‍👦".repeat(200),
  "مرحبا بالعالم and English",
  "a\n".repeat(500),
];

const KEYS = {
  __proto__: null,
  constructor: "x",
  toString: "x",
  hasOwnProperty: "x",
  "<b>": "<i>",
  "": "",
  length: -1,
};

function hostile() {
  const rows = HOSTILE.map((text) =>
    line(text, { project: `/tmp/${text.slice(0, 300)}`, sessionId: text.slice(0, 300) }),
  );
  const nested = `{"display":"nested","deep":${"[".repeat(20_000)}${"]".repeat(20_000)}}`;
  const odd = [
    JSON.stringify({ ...KEYS, display: "keys" }).replace("{", '{"__proto__":{"polluted":1},'),
    nested,
    '{"display":12,"pastedContents":"x","timestamp":"soon","project":null,"sessionId":42}',
    "[]",
    '"text"',
    "null",
    '{"display":"cut',
    '\u0000\u0000\u0000{"display":"after a crash"}',
  ];
  const pastes = line("pastes", {
    pastedContents: {
      1: { content: { a: 1 } },
      2: { contentHash: { a: 1 } },
      3: "x",
      4: { content: "<b>bold</b>" },
    },
  });
  return [
    ...rows,
    ...odd,
    pastes,
    line("pastes that are a list", { pastedContents: [null, { content: "listed" }] }),
  ];
}

/** Opens the first rows. */
async function openAll(page, most = 60) {
  await page.evaluate(
    (most) =>
      [...document.querySelectorAll("tr .open[aria-expanded=false]")]
        .slice(0, most)
        .forEach((button) => button.click()),
    most,
  );
}

async function overflow(page) {
  return page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
}

test("hostile lines are shown as text, run nothing and do not widen the page", async (t) => {
  const { dir, page } = await open(t, [...lines(3), ...hostile()]);
  await openAll(page);
  assert.equal(await page.locator("tr.detail").count(), await page.locator(ROWS).count());
  assert.equal(await page.evaluate(() => globalThis.ran ?? {}.polluted), undefined);
  assert.equal(await page.locator("#claude-live-table :is(img, script, h1, b, i)").count(), 0);
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    assert.equal(await overflow(page), 0, `${width} px`);
  }
  await page.evaluate(() => scrollTo(0, 0));
  await append(dir, line("still alive"));
  await sees(page, "still alive");
  await page.selectOption("#live-project", { index: 3 });
  await until("a filter's rows", async () => (await said(page)).length === 1);
  unproblematic(page);
});

test("a row's height is bounded until it is opened", async (t) => {
  const { page } = await open(t, [...hostile(), line("word ".repeat(100))]);
  const heights = () =>
    page.$$eval(ROWS, (rows) =>
      rows.map((row) => row.querySelector(".what").getBoundingClientRect().height),
    );
  for (const width of [...WIDTHS, 320]) {
    await page.setViewportSize({ width, height: 800 });
    assert.ok(Math.max(...(await heights())) < 110, `${width} px: ${await heights()}`);
  }
  await page.locator(`${ROWS} .open`).first().click();
  assert.ok((await heights())[0] > 150);
});

for (const scheme of ["light", "dark"]) {
  test(`axe finds nothing in the ${scheme} theme: busy, open, filtered, narrow, empty, offline`, async (t) => {
    const { dir, server, page } = await open(
      t,
      [
        ...lines(3),
        line("see `code` and [Image #1] with password=hunter2"),
        line("! ls"),
        line("/clear", { sessionId: "x", project: "/b" }),
        '{"cut',
      ],
      { scheme, reducedMotion: "reduce" },
    );
    const check = async (state) => {
      await page.addScriptTag({ content: axe }).catch(() => page.evaluate(axe));
      const { violations } = await page.evaluate(() =>
        globalThis.axe.run(document, { rules: { "color-contrast": { enabled: true } } }),
      );
      assert.deepEqual(
        violations.map(({ id, nodes }) => [
          id,
          ...nodes.map(({ html, any }) => `${html} ${any[0]?.message ?? ""}`),
        ]),
        [],
        state,
      );
    };
    await page.locator("#app-status", { hasText: "malformed" }).waitFor();
    await check("busy");
    await openAll(page);
    await check("open");
    await page.keyboard.press("?");
    await check("keys");
    await page.keyboard.press("Escape");
    await page.setViewportSize({ width: 390, height: 844 });
    await check("narrow");
    await page.keyboard.press("p");
    await append(dir, line("waits"));
    await page.locator("#claude-live-pause", { hasText: "new" }).waitFor();
    await page.fill("#claude-live-search", "nothing like this");
    await check("filtered to nothing, paused");
    await server.stop();
    await inState(page, "offline");
    await check("offline");
  });
}

test("nothing scrolls sideways at any width", async (t) => {
  const { page } = await open(
    t,
    [
      ...lines(30),
      line("x".repeat(3_000)),
      line("/help", { project: `/very/${"long/".repeat(60)}path` }),
    ],
    { hash: "#q=-nothing" },
  );
  await openAll(page);
  for (const width of [...WIDTHS, 320]) {
    await page.setViewportSize({ width, height: 800 });
    assert.equal(await overflow(page), 0, `${width} px`);
  }
});

test("on a telephone the tools keep their place whatever the badge says, and no label is cut", async (t) => {
  const far = {
    project: "/home/demo/a-project-of-a-long-name",
    sessionId: "77777777-2222-4a7e-9c11-3f1f0a2b0002",
  };
  const { server, page } = await open(t, [...lines(1_000), line("x", far)]);
  const table = page.locator("#claude-live-table");
  const top = () => table.evaluate((table) => table.getBoundingClientRect().top);
  const rows = (choice) =>
    page.locator(choice).evaluateAll((nodes) =>
      nodes.map((node) => {
        const range = document.createRange();
        range.selectNodeContents(node);
        return [
          node.textContent,
          new Set(Array.from(range.getClientRects(), ({ bottom }) => Math.round(bottom))).size,
        ];
      }),
    );
  const places = new Map();
  for (const width of [390, 320]) {
    await page.setViewportSize({ width, height: 844 });
    places.set(width, await top());
    await page
      .locator("#claude-live-conn")
      .evaluate((badge) => (badge.textContent = "connecting…"));
    assert.equal(await top(), places.get(width), `connecting at ${width} px`);
    for (const [text, count] of await rows("header button, #live-view :is(dd, .tools button:not([hidden]))"))
      assert.equal(count, 1, `${text} at ${width} px`);
    assert.equal(
      new Set(
        await page.$$eval("header > *", (nodes) =>
          nodes
            .filter(({ hidden }) => !hidden)
            .map((node) =>
              Math.round(node.getBoundingClientRect().top + node.getBoundingClientRect().bottom),
            ),
        ),
      ).size,
      1,
    );
    const tight = await page.$$eval("#live-view .tools select:not([hidden])", (selects) =>
      selects
        .filter((select) => {
          const twin = document.createElement("select");
          twin.append(select.selectedOptions[0].cloneNode(true));
          twin.style.cssText =
            "position: absolute; width: max-content; padding: .3125rem; flex: none";
          document.body.append(twin);
          const needed = twin.getBoundingClientRect().width;
          twin.remove();
          return needed > select.getBoundingClientRect().width;
        })
        .map(({ id }) => id),
    );
    assert.deepEqual(tight, [], `${width} px`);
  }
  await server.stop();
  await inState(page, "reconnecting");
  for (const [width, before] of places) {
    await page.setViewportSize({ width, height: 844 });
    assert.equal(await top(), before, `reconnecting at ${width} px`);
  }
});

test("nothing moves with reduced motion", async (t) => {
  const { server, page } = await open(t, lines(2), { reducedMotion: "reduce" });
  await server.stop();
  await inState(page, "reconnecting");
  assert.equal(await page.evaluate(() => document.getAnimations({ subtree: true }).length), 0);
});
