"""Follows a server as the README tells clients to, with httpx-sse; prints each history line once.

Usage: follow.py BASE_URL
"""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse

RETRY_SECONDS = 0.2


class Follower:
    def __init__(self, base):
        self.base = base
        self.client = httpx.Client(timeout=httpx.Timeout(10, read=40))
        self.last_offset = -1
        self.backlog_id = 0

    def report(self, **found):
        print(json.dumps(found), flush=True)

    def take(self, data):
        if data["offset"] > self.last_offset:
            self.last_offset = data["offset"]
            self.report(line=data["rawLine"])
        else:
            self.report(twice=data["rawLine"])

    def read_backlog(self):
        backlog = self.client.get(f"{self.base}/api/claude/live/backlog?limit=1000").json()
        self.backlog_id = backlog["lastEventId"]
        for event in reversed(backlog["events"]):
            if event["data"]["offset"] > self.last_offset:
                self.take(event["data"])

    def run(self):
        self.read_backlog()
        last_id = str(self.backlog_id)
        while True:
            try:
                headers = {"Last-Event-ID": last_id}
                url = f"{self.base}/api/claude/stream"
                with connect_sse(self.client, "GET", url, headers=headers) as source:
                    self.report(note="open")
                    for sse in source.iter_sse():
                        last_id = sse.id or last_id
                        self.on_event(sse)
            except httpx.TransportError:
                pass
            time.sleep(RETRY_SECONDS)

    def on_event(self, sse):
        if sse.event == "history.append":
            event = sse.json()
            if event["id"] > self.backlog_id:
                self.take(event["data"])
        elif sse.event == "server.notice":
            kind = sse.json()["data"]["kind"]
            self.report(note=kind)
            if kind == "stream.resync":
                self.read_backlog()


Follower(sys.argv[1]).run()
