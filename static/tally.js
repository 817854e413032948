/**
 * Today's totals and the last hour's minutes.
 * Invariant: pure. Known weakness: of more events than the server holds, the newest are counted.
 */
import { isTyped } from "./format.js";

export const MINUTE_MS = 60_000;
const MINUTES = 60;

/** Partial where the oldest item is of today too. @param {Item[]} items */
export function today(items, now) {
	const day = new Date(now).setHours(0, 0, 0, 0);
	const typed = items.filter((item) => isTyped(item) && item.ms >= day);
	const count = (field) => new Set(typed.map((item) => item[field]).filter(Boolean)).size;
	return { prompts: typed.length, sessions: count("session"), projects: count("project"), isPartial: items.every(({ ms }) => ms >= day) };
}

/** Oldest first. @param {Item[]} items @returns {Minute[]} */
export function hour(items, now) {
	const first = Math.floor(now / MINUTE_MS) - MINUTES + 1;
	const minutes = Array.from({ length: MINUTES }, () => new Map());
	for (const { ms, project } of items.filter(isTyped)) {
		const parts = minutes[Math.floor(ms / MINUTE_MS) - first];
		parts?.set(project, (parts.get(project) ?? 0) + 1);
	}
	return minutes.map((parts, at) => ({
		ms: (first + at) * MINUTE_MS,
		total: [...parts.values()].reduce((sum, count) => sum + count, 0),
		parts: [...parts].sort((a, b) => b[1] - a[1]),
	}));
}
