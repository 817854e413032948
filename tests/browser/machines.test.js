/** The machines of a fleet on the page. The list of sessions is given the machines of a viewer. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { Claude } from "./claude.js";
import { claudeDir, serve, tab, unproblematic, until, visit } from "./harness.js";

test("sessions tell their machine, a filter picks one, and a silent one is told of", async (t) => {
  const dir = await claudeDir(t);
  const all = ["On alpha", "On beta", "Also on beta"].map((title) => new Claude(dir, title));
  for (const claude of all) await claude.begin("go");
  const server = await serve(t, dir);
  const context = await visit(t);
  const machineOf = (id) => (id === all[0].id ? "alpha" : "beta");
  await context.route("**/api/claude/sessions", async (route) => {
    const response = await route.fetch();
    const answer = await response.json();
    const sessions = answer.sessions.map((it) => ({ ...it, machine: machineOf(it.sessionId) }));
    const heardAt = new Date(Date.now() - 90_000).toISOString();
    const machines = [
      { name: "alpha", heardAt, isSilent: true },
      { name: "beta", heardAt: new Date().toISOString(), isSilent: false },
    ];
    await route.fulfill({ response, json: { ...answer, sessions, machines } });
  });
  await until("the sessions are read", async () => {
    const { sessions } = await (await fetch(`${server.url}api/claude/sessions`)).json();
    return sessions.length === all.length;
  });
  const page = await tab(context, `${server.url}#sessions`, { state: "" });
  const machines = () =>
    page.$$eval(".card [data-of=machine]", (nodes) => nodes.map((node) => node.textContent));
  await until("a machine a card", async () => (await machines()).length === all.length);
  assert.deepEqual((await machines()).sort(), ["alpha", "beta", "beta"]);
  const colors = await page.$$eval(".card [data-of=machine]", (nodes) =>
    nodes.map((node) => [node.textContent, getComputedStyle(node).color].join()),
  );
  assert.equal(new Set(colors).size, 2, String(colors));
  await page.getByText(/alpha/).filter({ hasText: /silent/ }).first().waitFor();
  await page.selectOption("#sessions-machine", "alpha");
  await until("one card", async () => (await page.locator(".card").count()) === 1);
  assert.match(await page.evaluate(() => location.hash), /machine=alpha/);
  assert.equal(await page.locator(".card .title").textContent(), "On alpha");
  unproblematic(page);
});
