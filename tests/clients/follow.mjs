/**
 * Follows a server as the README tells clients to, and reports each history line once. Uses nothing
 * from outside the function, so that its text can be sent to a browser.
 *
 * @param {string} base the server's address
 * @param {typeof EventSource} EventSource
 * @param {(report: { line?: string, twice?: string, note?: string }) => void} report
 */
export async function follow(base, EventSource, report) {
  let lastOffset = -1;
  let backlogId = 0;

  /** Reports the line of an event; one that was reported before is a mistake. */
  function take({ data }) {
    report(data.offset > lastOffset ? { line: data.rawLine } : { twice: data.rawLine });
    lastOffset = Math.max(lastOffset, data.offset);
  }

  /** Reports the lines of the backlog that are new, oldest first. */
  async function readBacklog() {
    const answer = await fetch(`${base}/api/claude/live/backlog?limit=1000`);
    const { lastEventId, events } = await answer.json();
    backlogId = lastEventId;
    events.reverse().filter(({ data }) => data.offset > lastOffset).forEach(take);
  }

  // Events wait while a backlog is read: those that it contains are dropped after.
  let work = readBacklog();
  await work;

  const stream = new EventSource(`${base}/api/claude/stream?since=${backlogId}`);
  stream.addEventListener("open", () => report({ note: "open" }));
  stream.addEventListener("history.append", (message) => {
    work = work.then(() => {
      const event = JSON.parse(message.data);
      if (event.id > backlogId) take(event);
    });
  });
  stream.addEventListener("server.notice", (message) => {
    const { data } = JSON.parse(message.data);
    report({ note: data.kind });
    if (data.kind === "stream.resync") work = work.then(readBacklog);
  });
}
