/**
 * Runs work at once after a pause, and otherwise at most once per period.
 * Invariant: `run` is called after the last request, and never before an earlier call has settled.
 */

const PERIOD_MS = 1000;

/** @param {() => any} run @returns {() => void} requests a run */
export function batch(run, now = () => performance.now(), later = setTimeout, period = PERIOD_MS) {
	/** @type {"idle" | "scheduled" | "running" | "requested again"} */
	let state = "idle";
	let dueMs = now();
	async function start() {
		state = "running";
		dueMs = now() + period;
		try {
			await run();
		} finally {
			const isDone = state === "running";
			state = "idle";
			if (!isDone) request();
		}
	}
	function request() {
		if (state === "running") state = "requested again";
		if (state !== "idle") return;
		if (now() >= dueMs) return void start();
		state = "scheduled";
		later(start, dueMs - now());
	}
	return request;
}
