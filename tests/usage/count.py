#!/usr/bin/env python3
"""Counts the tokens and the cost of all transcripts under a Claude directory.

Usage: count.py DIR PRICES [OFFSET_MINUTES]. Prints JSON: the total, and a row for each day,
project, model and session. Written from the rules alone, to check claude-live: it reads every
file whole, parses every line, and sorts all records of a response. Nothing of it is fast.
"""

import json
import re
import sys
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

KINDS = ["responses", "input", "output", "cacheRead", "cacheWrite"]
RECORD_START = re.compile(r'\{ ?"(?=parentUuid"|type")')


def records_of_line(line):
    """Returns the whole records of a line. A record can follow a cut one, or NUL bytes."""
    line = line.strip("\0\r \ufeff")
    try:
        record = json.loads(line, parse_float=Decimal)
        return [record] if isinstance(record, dict) else []
    except ValueError:
        records, end = [], 0
    for start in RECORD_START.finditer(line):
        if start.start() >= end:
            try:
                record, end = json.JSONDecoder(parse_float=Decimal).raw_decode(line, start.start())
                records.append(record)
            except ValueError:
                pass
    return records


def session_of_file(path, record):
    """Returns the session of a file. Early subagents lie beside sessions, and name theirs."""
    if "subagents" in path.parts:
        return path.parts[path.parts.index("subagents") - 1]
    return record.get("sessionId") if path.stem.startswith("agent-") else path.stem


def time_of(record):
    try:
        return datetime.fromisoformat(record["timestamp"]).astimezone(timezone.utc)
    except (KeyError, TypeError, ValueError):
        return None


def records_under(directory):
    """Returns (path, number of the line, record) of every record."""
    projects = Path(directory, "projects")
    globs = ["*/*.jsonl", "*/*/subagents/*.jsonl", "*/*/subagents/workflows/*/agent-*.jsonl"]
    paths = sorted(path for glob in globs for path in projects.glob(glob))
    for path in paths:
        for number, line in enumerate(path.read_bytes().decode(errors="replace").split("\n")):
            for record in records_of_line(line):
                yield path, number, record


def is_response(record):
    message = record.get("message")
    if record.get("type") != "assistant" or not isinstance(message, dict):
        return False
    return bool(message.get("usage")) and message.get("model") != "<synthetic>"


def is_of_subagent(path, record):
    """Whether a subagent made a response: its file has it, or early on that of the session."""
    if path.name.startswith("agent-"):
        return not path.name.startswith("agent-acompact-")
    return record.get("isSidechain") is True


def responses_under(directory):
    """Returns the records of each response, the first in time first, and where sessions began."""
    responses, began = defaultdict(list), {}
    for path, number, record in records_under(directory):
        session = session_of_file(path, record)
        if record.get("cwd"):
            began.setdefault((session, path.stem == session), record["cwd"])
        if is_response(record):
            message, own = record["message"], record.get("uuid") or (path, number)
            key = (message["id"], record.get("requestId")) if message.get("id") else own
            time = time_of(record)
            # At the same time, the original is before a copy, and then the first path.
            place = (time is None, time, session != record.get("sessionId"), str(path), number)
            responses[key].append((place, session, is_of_subagent(path, record), record))
    for records in responses.values():
        records.sort(key=lambda it: it[0])
    projects = {session: cwd for (session, is_main), cwd in sorted(began.items(), key=lambda it: it[0][1])}
    return responses.values(), projects


def price_of(model, prices):
    bare = model.split("[")[0]
    undated = re.sub(r"-20\d{6}$", "", bare)
    return next((prices[name] for name in (model, bare, undated) if name in prices), None)


def cost_of(usage, price):
    """Returns the cost of a response. A long prompt has the prices of the limit that it exceeds."""
    tokens = lambda key, of=usage: of.get(key) or 0
    write, read = tokens("cache_creation_input_tokens"), tokens("cache_read_input_tokens")
    hour = tokens("ephemeral_1h_input_tokens", usage.get("cache_creation") or {})
    prompt = tokens("input_tokens") + read + write

    def each(name):
        limits = [re.fullmatch(name + r"_above_(\d+)k_tokens", key) for key in price]
        over = [int(it[1]) for it in limits if it and prompt > 1000 * int(it[1])]
        return price[f"{name}_above_{max(over)}k_tokens" if over else name]

    cost = tokens("input_tokens") * each("input_cost_per_token")
    cost += tokens("output_tokens") * each("output_cost_per_token")
    cost += read and read * each("cache_read_input_token_cost")
    cost += (write - hour) and (write - hour) * each("cache_creation_input_token_cost")
    cost += hour and hour * each("cache_creation_input_token_cost_above_1hr")
    factors = price.get("provider_specific_entry", {})
    for name in (usage.get("speed"), usage.get("inference_geo")):
        cost *= factors.get(name, 1)
    return cost


def add(sums, usage, cost):
    keys = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"]
    for kind, tokens in zip(KINDS, [1] + [usage.get(key) or 0 for key in keys]):
        sums[kind] += tokens
    if cost is not None:
        sums["costUsd"] += cost


def count(directory, prices, zone):
    """Returns the sums by day, project, model and session, and the models without a price."""
    sums, unpriced = defaultdict(lambda: defaultdict(Decimal)), set()
    responses, projects = responses_under(directory)
    for records in responses:
        (_, time, *_), session, is_agent, _ = records[0]
        messages = [record["message"] for *_, record in records]
        message = max(messages, key=lambda it: it["usage"].get("output_tokens") or 0)
        price = price_of(message["model"], prices)
        cost = cost_of(message["usage"], price) if price else None
        if price is None:
            unpriced.add(message["model"])
        day = str(time.astimezone(zone).date()) if time else None
        row = (day, projects[session], message["model"], session)
        for key in [("total",), row] + [(*row, "subagents")] * is_agent:
            add(sums[key], message["usage"], cost)
    return sums, unpriced


def main():
    directory, prices, *offset = sys.argv[1:]
    prices = json.loads(Path(prices).read_bytes(), parse_float=Decimal)
    zone = timezone(timedelta(minutes=int(offset[0] if offset else 0)))
    sums, unpriced = count(directory, prices, zone)
    rows = [{"row": row, **sums[row]} for row in sums]
    json.dump({"rows": rows, "unpriced": sorted(unpriced)}, sys.stdout, default=float)


if __name__ == "__main__":
    main()
