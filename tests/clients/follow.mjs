/**
 * Follows a claude-live as its README says a client should, and says each history line once. Uses nothing from outside, so
 * that it can be sent into a browser as text.
 *
 * @param {string} base the program's address
 * @param {typeof EventSource} EventSource
 * @param {(what: { line?: string, twice?: string, note?: string }) => void} say
 */
export async function follow(base, EventSource, say) {
  let seenOffset = -1;
  let backlogId = 0;

  /** Says the line of an event; one that was said before is a mistake. */
  function take({ data }) {
    say(data.offset > seenOffset ? { line: data.rawLine } : { twice: data.rawLine });
    seenOffset = Math.max(seenOffset, data.offset);
  }

  /** Says what the backlog has and was not said, oldest first. */
  async function readBacklog() {
    const answer = await fetch(`${base}/api/claude/live/backlog?limit=1000`);
    const { lastEventId, events } = await answer.json();
    backlogId = lastEventId;
    events.reverse().filter(({ data }) => data.offset > seenOffset).forEach(take);
  }

  // Events wait for a backlog that is being read: those that it has are dropped after.
  let work = readBacklog();
  await work;

  const stream = new EventSource(`${base}/api/claude/stream?since=${backlogId}`);
  stream.addEventListener("open", () => say({ note: "open" }));
  stream.addEventListener("history.append", (message) => {
    work = work.then(() => {
      const event = JSON.parse(message.data);
      if (event.id > backlogId) take(event);
    });
  });
  stream.addEventListener("server.notice", (message) => {
    const { data } = JSON.parse(message.data);
    say({ note: data.kind });
    if (data.kind === "stream.resync") work = work.then(readBacklog);
  });
}
