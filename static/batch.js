// @ts-check
/**
 * When to render: at once after a quiet while, else once a period.
 *
 * A lone prompt is on the screen without delay, and a flood costs one render a period.
 *
 * Invariant: `run` is never called twice within a period, and is called after the last `poke`.
 */

/** One render a second is calm to look at and cheap. */
export const PERIOD_MS = 1000;

/** @param {() => void} run @param {() => number} [now] @param {(step: () => void, ms: number) => any} [later] */
export function batch(run, now = () => performance.now(), later = (step, ms) => setTimeout(step, ms)) {
  let [last, waiting] = [-Infinity, false];
  const flush = () => {
    waiting = false;
    last = now();
    run();
  };
  return function poke() {
    if (waiting) return;
    const due = last + PERIOD_MS - now();
    if (due <= 0) return flush();
    waiting = true;
    later(flush, due);
  };
}
