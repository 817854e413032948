// Follows a claude-live as its README says a client should, with npm's `eventsource`, and prints each history line once.
// Usage: node follow.mjs BASE_URL

import { EventSource } from "eventsource";

const base = process.argv[2];
let seenOffset = -1;
let backlogId = 0;

/** Prints the line of an event, unless it was printed before. */
function take({ data }) {
  if (data.offset > seenOffset) {
    seenOffset = data.offset;
    console.log(JSON.stringify({ line: data.rawLine }));
  } else {
    console.log(JSON.stringify({ twice: data.rawLine }));
  }
}

/** Prints what the backlog has and was not printed, oldest first. */
async function readBacklog() {
  const answer = await fetch(`${base}/api/claude/live/backlog?limit=1000`);
  const { lastEventId, events } = await answer.json();
  backlogId = lastEventId;
  events.reverse().filter(({ data }) => data.offset > seenOffset).forEach(take);
}

// Events wait for a backlog that is being read: those that it holds are dropped after.
let work = readBacklog();
await work;

const stream = new EventSource(`${base}/api/claude/stream?since=${backlogId}`);
stream.addEventListener("open", () => console.log(JSON.stringify({ note: "open" })));
stream.addEventListener("history.append", (message) => {
  work = work.then(() => {
    const event = JSON.parse(message.data);
    if (event.id > backlogId) take(event);
  });
});
stream.addEventListener("server.notice", (message) => {
  const { data } = JSON.parse(message.data);
  console.log(JSON.stringify({ note: data.kind }));
  if (data.kind === "stream.resync") work = work.then(readBacklog);
});
