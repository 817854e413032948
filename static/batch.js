/**
 * At once after a quiet while, else once a period.
 * Invariant: `run` is not called twice within a period, and once more after the last `poke`.
 */

/** Calm to look at. */
const PERIOD_MS = 1000;

/** @param {() => any} run @returns {() => void} poke */
export function batch(run, now = () => performance.now(), later = setTimeout) {
	let [due, isWaiting] = [0, false];
	const flush = () => {
		isWaiting = false;
		due = now() + PERIOD_MS;
		run();
	};
	return () => {
		if (isWaiting) return;
		if (now() >= due) return flush();
		isWaiting = true;
		later(flush, due - now());
	};
}
