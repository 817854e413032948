/**
 * Tokens and cost, summed by day, project, model and session.
 * Invariant: pure; the present day is passed in.
 */
/** @import { Group, Measure, Stack, UsageRow } from "./types.js" */

const DAY_MS = 86_400_000;
/** Series of a chart; the rest is one more. */
const SERIES = 8;
/** The name of that rest. No model and no project has it. */
export const OTHER = "\0";

/** Returns an offset as the server takes it. @param {number} minutes  by `getTimezoneOffset` */
export function zone(minutes) {
	const two = (count) => String(Math.floor(count)).padStart(2, "0");
	const size = Math.abs(minutes);
	return `${minutes > 0 ? "-" : "+"}${two(size / 60)}:${two(size % 60)}`;
}

/** Returns the day of a time, as `2026-11-25`. @param {number} minutes  by `getTimezoneOffset` */
export const dayOf = (ms, minutes) => new Date(ms - minutes * 60_000).toISOString().slice(0, 10);

/** Returns `count` days up to this one, the oldest first. @returns {string[]} */
export function daysTo(day, count) {
	const first = Date.parse(day) - (count - 1) * DAY_MS;
	return Array.from({ length: count }, (_, at) => dayOf(first + at * DAY_MS, 0));
}

/** @param {UsageRow[]} rows @returns {Group} */
export function sumOf(rows, name = "") {
	const of = (field) => rows.reduce((sum, row) => sum + row[field], 0);
	const [input, output, cacheRead, cacheWrite] = TOKENS.map(of);
	return {
		name,
		last: rows.reduce((last, row) => (last?.day >= row.day ? last : row), rows[0]),
		responses: of("responses"),
		...{ input, output, cacheRead, cacheWrite },
		tokens: input + output + cacheRead + cacheWrite,
		cost: rows.length ? costOf(rows) : 0,
		isLess: rows.some(({ costUsd }) => costUsd === undefined),
		agents: costOf(rows.flatMap(({ subagents }) => subagents ?? [])),
	};
}

/** Returns the cost of those that have a price, if there are any. */
function costOf(sums) {
	const costs = sums.map(({ costUsd }) => costUsd).filter((cost) => cost !== undefined);
	return costs.length ? costs.reduce((sum, cost) => sum + cost, 0) : undefined;
}

const TOKENS = ["input", "output", "cacheRead", "cacheWrite"];

/**
 * Returns a sum for each value of a field.
 * @param {UsageRow[]} rows
 * @param {"project" | "model" | "sessionId"} field
 * @returns {Group[]}
 */
export function groupsOf(rows, field) {
	/** @type {Map<string, UsageRow[]>} */
	const groups = new Map();
	for (const row of rows) {
		const name = row[field] ?? "";
		const group = groups.get(name) ?? [];
		groups.set(name, group);
		group.push(row);
	}
	return Array.from(groups, ([name, rows]) => sumOf(rows, name));
}

/** Returns groups in order of a value; those without it are last. */
export function sorted(groups, valueOf, isDown) {
	const sign = isDown ? -1 : 1;
	return groups.toSorted((a, b) => {
		const [x, y] = [valueOf(a), valueOf(b)];
		const absent = Number(x === undefined) - Number(y === undefined);
		const order = typeof x === "string" ? x.localeCompare(y) : x - y;
		return absent || sign * order || b.tokens - a.tokens || (a.name < b.name ? -1 : 1);
	});
}

/**
 * Returns the columns of a chart.
 * @param {UsageRow[]} rows
 * @param {string[]} days
 * @param {"project" | "model"} field
 * @param {Measure} measure
 * @returns {Stack}
 */
export function stack(rows, days, field, measure) {
	const groups = groupsOf(rows, field).filter((group) => group[measure]);
	const all = sorted(groups, (group) => group[measure], true).map(({ name }) => name);
	const names = all.length > SERIES ? [...all.slice(0, SERIES), OTHER] : all;
	const slots = new Map(all.map((name, at) => [name, Math.min(at, names.length - 1)]));
	const values = new Map(days.map((day) => [day, names.map(() => 0)]));
	for (const row of rows) {
		const slot = slots.get(row[field] ?? "");
		const parts = values.get(row.day);
		if (parts && slot !== undefined) parts[slot] += valueOf(row, measure);
	}
	const add = (parts) => parts.reduce((sum, part) => sum + part, 0);
	const columns = Array.from(values, ([day, values]) => ({ day, total: add(values), values }));
	const totals = names.map((_, at) => add(columns.map(({ values }) => values[at])));
	return { names, days: columns, totals };
}

const valueOf = (row, measure) =>
	measure === "cost" ? (row.costUsd ?? 0) : TOKENS.reduce((sum, field) => sum + row[field], 0);

/** Returns the least number of one digit and zeros, whose half is as short, from a value on. */
export function roundUp(value) {
	if (!(value > 0)) return 1;
	const power = 10 ** Math.floor(Math.log10(value));
	return power * ([1, 2, 3, 4, 6, 8].find((step) => step * power >= value) ?? 10);
}
