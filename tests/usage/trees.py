#!/usr/bin/env python3
"""Writes a Claude directory with every kind of duplicate and damage that transcripts have.

Usage: trees.py SEED DIR. The same seed gives the same files.
"""

import json
import random
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

MODELS = [
    "claude-opus-5",
    "claude-opus-5[1m]",
    "claude-opus-5-20260801",
    "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5-20250929[1m]",
    "claude-sonnet-4-5",
    "claude-haiku-5-5",
    "claude-next",
    "claude-odyssey-9-20270101[1m]",
]
START = datetime(2026, 8, 30, 20, tzinfo=timezone.utc)
PROJECTS = ["/home/demo/src/alpha", "/home/demo/src/alpha-2", "/home/demo/Größe, \"quoted\""]


class Tree:
    def __init__(self, seed, directory):
        self.random = random.Random(seed)
        self.projects = Path(directory, "projects")
        self.number = 0

    def write(self):
        sessions = []
        for number in range(10):
            session = f"{self.random.getrandbits(32):08x}-aaaa-4a7e-9c11-{number:012}"
            cwd = self.random.choice(PROJECTS)
            slug = "".join(it if it.isalnum() and it.isascii() else "-" for it in cwd)
            lines = self.session(session, cwd)
            if sessions and number % 3 == 0:
                lines = self.fork(self.random.choice(sessions), session) + lines
            sessions.append((session, lines))
            path = self.projects / slug / f"{session}.jsonl"
            self.file(path, lines)
            for agent in range(number % 4):
                self.agent(path, session, cwd, agent, lines)

    def agent(self, path, session, cwd, agent, parent):
        """Writes a subagent's file; some begin with a copy of what their parent has shown."""
        name = self.random.choice(["agent-a%06x", "agent-a%06x", "agent-acompact-%06x"])
        name = name % self.random.getrandbits(24) + ".jsonl"
        lines = self.session(session, cwd, agentId=f"a{agent}", isSidechain=True)
        if agent == 1:
            lines = self.fork((session, parent), session) + lines
        is_early = agent == 2
        beside = path.parent if is_early else path.with_suffix("") / "subagents"
        if not is_early and self.random.random() < 0.3:
            beside = beside / "workflows" / "wf_1"
        self.file(beside / name, lines)
        (beside / name).with_suffix(".meta.json").write_text('{"agentType":"Explore"}')

    def session(self, session, cwd, **keys):
        """Returns the records of a session: responses among all that is none."""
        lines = []
        time = START + timedelta(hours=self.random.randrange(1500), minutes=self.random.randrange(60))
        for turn in range(self.random.randrange(3, 25)):
            time += timedelta(minutes=self.random.choice([-200, -1, 1, 7, 90, 400]))
            self.cwd = cwd if turn < 3 else self.random.choice([cwd, cwd + "/sub"])
            early = {"isSidechain": True} if self.random.random() < 0.1 else {}
            lines += self.response(session, time, keys | early)
            lines += self.random.sample(self.others(session, time, keys), 2)
        return lines

    def response(self, session, time, keys):
        """Returns the records of a response, one for each block."""
        random = self.random
        self.number += 1
        model = random.choice(MODELS)
        message = {"model": model, "id": f"msg_{self.number}", "type": "message", "role": "assistant"}
        final, growing = self.usage(), random.random() < 0.5
        has_request, has_id = random.random() < 0.9, random.random() < 0.9
        if not has_id:
            del message["id"]
        records = []
        for block in range(random.randrange(1, 5) if has_id else 1):
            usage = dict(final)
            if growing and block < 3:
                usage["output_tokens"] = min(block, final["output_tokens"])
            text = random.choice(["x", 'say "usage":{"output_tokens":999}', "\u2028\udc80", "y" * 3000])
            content = [{"type": "text", "text": text}]
            at = time + timedelta(milliseconds=random.choice([0, 20, -30]))
            message = {**message, "content": content, "usage": usage}
            record = self.record("assistant", session, at, message=message, **keys)
            if has_request:
                record["requestId"] = f"req_{self.number}"
            records.append(record)
        if growing:
            # Often the last has the most tokens, but not always.
            records[-1]["message"]["usage"] = final
            random.choice([lambda _: None, random.shuffle])(records)
        if random.random() < 0.05:
            records.append(records[0])
        return records

    def usage(self):
        random = self.random
        usage = {"input_tokens": random.randrange(100), "output_tokens": random.randrange(5000)}
        read = random.choice([0, 7000, 99_990, 150_000, 199_990, 200_000, 900_000])
        write = random.choice([0, 10, 7513, 60_000])
        kind = random.randrange(6)
        if kind < 5:
            usage |= {"cache_creation_input_tokens": write, "cache_read_input_tokens": read}
        if kind < 3:
            hour = random.choice([0, write, write // 3])
            parts = {"ephemeral_5m_input_tokens": write - hour, "ephemeral_1h_input_tokens": hour}
            usage["cache_creation"] = parts
        if kind == 3:
            usage |= {"cache_creation": None, "cache_read_input_tokens": None}
        usage |= random.choice([{}, {}, {"service_tier": "standard", "speed": "standard"},
                                {"speed": "fast"}, {"inference_geo": "us"},
                                {"server_tool_use": {"web_search_requests": 2}}])
        if random.random() < 0.1:
            usage = dict(reversed(usage.items()))
        return usage

    def others(self, session, time, keys):
        """Returns records that are no response of the API, though some have `usage`."""
        usage = {"input_tokens": 5_000_000, "output_tokens": 7_000_000}
        synthetic = {"model": "<synthetic>", "id": f"msg_{self.number}", "content": [], "usage": usage}
        result = {"status": "completed", "agentId": "a1", "totalTokens": 12_000_000, "usage": usage}
        said = {"role": "user", "content": [{"type": "text", "text": json.dumps(synthetic)}]}
        return [
            self.record("assistant", session, time, message=synthetic, isApiErrorMessage=True, **keys),
            self.record("user", session, time, message=said, toolUseResult=result, **keys),
            self.record("user", session, time, message={"role": "user", "content": "go"}, **keys),
            self.record("assistant", session, time, message={"model": "claude-opus-5", "id": "none",
                                                             "content": [], "usage": None}),
            {"type": "summary", "summary": 'of "usage":{', "leafUuid": "1"},
            {"type": "cost-state", "sessionId": session, "totalCostUSD": 1.25,
             "modelUsage": {"claude-opus-5[1m]": {"inputTokens": 174, "outputTokens": 15712}}},
            {"type": "never-seen-before", "message": {"usage": usage}},
            {"type": "progress", "message": {"id": "p", "model": "claude-opus-5", "usage": usage}},
        ]

    def record(self, kind, session, time, **keys):
        random = self.random
        stamp = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if random.random() < 0.02:
            stamp = time.astimezone(timezone(timedelta(hours=9))).isoformat()
        record = {"parentUuid": None, "isSidechain": False, **keys, "type": kind,
                  "uuid": f"{random.getrandbits(64):016x}", "timestamp": stamp, "cwd": self.cwd,
                  "sessionId": session, "version": "2.1.289", "gitBranch": "HEAD"}
        if random.random() < 0.1:  # as 1.0 wrote them
            record |= {"costUSD": 0.25, "durationMs": 2000}
        return record

    def fork(self, original, session):
        """Returns a session's first records as another shows them, with its own id or not."""
        records = original[1][: self.random.randrange(len(original[1]) + 1)]
        new = self.random.choice([{}, {"sessionId": session}])
        return [record | new if "sessionId" in record else record for record in records]

    def file(self, path, records):
        """Writes a file, damaged here and there as crashes and two writers leave them."""
        random = self.random
        path.parent.mkdir(parents=True, exist_ok=True)
        text = b""
        for record in records:
            separators = (", ", ": ") if random.random() < 0.05 else (",", ":")
            if random.random() < 0.002:
                record = record | {"toolUseResult": {"stdout": "z" * 1_500_000}}
            line = json.dumps(record, ensure_ascii=random.random() < 0.5, separators=separators)
            line = line.encode(errors="surrogateescape")
            end = random.choice([b"\n"] * 20 + [b"\r\n", b"\n\n", b"\n \n"])
            damage = random.randrange(60)
            if damage == 0:
                text += b"\0" * random.randrange(1, 9000)
            elif damage == 1:
                text += line[: random.randrange(len(line))]  # this one follows on its line
                end = b"\n"
            elif damage == 2:
                text += line[: random.randrange(len(line))] + b"\n"
            elif damage == 3:
                end = b""
            elif damage == 4:
                text += b"not a record\n[]\n1\nnull\n"
            text += line + end
        if random.random() < 0.3:
            text = text[: random.randrange(len(text) // 2, len(text) + 1)]
        path.write_bytes(text)


if __name__ == "__main__":
    Tree(int(sys.argv[1]), sys.argv[2]).write()
