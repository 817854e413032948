/** What the measurements of the page share. */

export const VIEWPORT = { width: 1440, height: 900 };
/** After such a pause the page draws the next event at once. */
export const QUIET_MS = 1_050;

/**
 * Begins a trace. Returns a function that ends it, and returns the longest task of the page's
 * thread in milliseconds of the processor.
 */
export async function tracing(page) {
  const devtools = await page.context().newCDPSession(page);
  const events = [];
  devtools.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  await devtools.send("Tracing.start", {
    transferMode: "ReportEvents",
    categories: "toplevel,devtools.timeline,disabled-by-default-devtools.timeline",
  });
  return async () => {
    const complete = new Promise((resume) => devtools.once("Tracing.tracingComplete", resume));
    await devtools.send("Tracing.end");
    await complete;
    const { pid, tid } = events.find(({ name }) => name === "Layout");
    return longestOf(events.filter((event) => event.pid === pid && event.tid === tid));
  };
}

/** Returns the processor time of the longest task, in milliseconds. */
export function longestOf(events) {
  const tasks = events.filter(({ name }) => name === "RunTask" || name.endsWith("::RunTask"));
  return Math.max(...tasks.map(({ tdur = 0 }) => tdur)) / 1_000;
}
