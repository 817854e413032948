/**
 * Totals of today, and prompts by minute.
 * Invariant: pure. Known weakness: counts only the events that the page holds.
 */
import { isTyped } from "./items.js";

export const MINUTE_MS = 60_000;
const MINUTES = 60;

/** Counts since midnight. Partial: events that are not held can be of today too. */
export function today(items, now) {
	const day = new Date(now).setHours(0, 0, 0, 0);
	const typed = items.filter((item) => isTyped(item) && item.ms >= day);
	const count = (field) => new Set(typed.map((item) => item[field]).filter(Boolean)).size;
	return {
		prompts: typed.length,
		sessions: count("session"),
		projects: count("project"),
		isPartial: items.every(({ ms }) => ms >= day),
	};
}

/** Returns the minutes of the last hour, the oldest first. */
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
