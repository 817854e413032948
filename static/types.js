/** Types that the modules share. The file holds no code, so the page does not load it. */
export {};

/**
 * An event as the server sends it. A line that is read from the file (`before=`) has no id.
 * @typedef {object} LiveEvent
 * @property {number} id
 * @property {string} ts
 * @property {string} type
 * @property {string} [machine]  of a fleet
 * @property {any} data
 */

/**
 * An event as the page holds it.
 * @typedef {object} Item
 * @property {number} id  as the event's
 * @property {number} ms  its time, since 1970
 * @property {string} kind  a key of `KINDS`
 * @property {string} text  the row's text
 * @property {string} project  empty if the event has no project
 * @property {string} session  empty if the event has no session
 * @property {string} [machine]  of a fleet
 * @property {boolean} isOpen  its row shows the whole event
 * @property {boolean} [isCleared]
 * @property {LiveEvent} event
 * @property {string} [haystack]  the text that a search looks at, built on first use
 */

/**
 * A difference in a JSON file; an absent side means that the value was added or removed.
 * @typedef {{ path: string, from?: any, to?: any }} Change  `path` is a JSON Pointer
 */

/**
 * Answer of `/api/claude/live/backlog`, newest first. `before` answers a request with `before=`:
 * the offset to continue from, or null at the file's beginning.
 * @typedef {object} Backlog
 * @property {number} limit
 * @property {number} lastEventId
 * @property {number | null} [before]
 * @property {LiveEvent[]} events
 */

/**
 * How far back a file was read: not yet, down to an offset, or to its beginning.
 * @typedef {{ state: "unread" } | { state: "at", offset: number } | { state: "beginning" }} Reached
 */

/**
 * Empty fields let everything pass.
 * @typedef {{ q: string, kind: string, machine: string, project: string, status: string,
 *   session: string }} Filter
 */

/**
 * A part of a text. A secret has the name of its rule.
 * @typedef {{ kind: "text" | "secret" | "chip" | "code" | "invisible",
 *   text: string, name?: string }} Piece
 */

/** @typedef {{ start: number, end: number, name: string }} Span  a secret's place in a text */

/**
 * A JSON value as it is spelled, strings with their quotes. Only a member of an object has a key.
 * @typedef {{ kind: "object" | "array" | "string" | "number" | "word",
 *   text: string, key?: string, items: JsonNode[] }} JsonNode
 */

/**
 * A minute of the chart: its start, its prompts, and these by project, the largest part first.
 * @typedef {{ ms: number, total: number, parts: [project: string, count: number][] }} Minute
 */

/**
 * `locked`: the server asks for its token.
 * @typedef {"connecting" | "live" | "reconnecting" | "offline" | "locked"} ConnectionState
 */

/**
 * The last time without a connection.
 * @typedef {object} Outage
 * @property {number} [endedMs]
 * @property {number} [untilId]  the newest event when the connection was back
 * @property {number} missed  events that were replayed
 */

/**
 * Answer of `/healthz`, as far as the page reads it.
 * @typedef {object} Health
 * @property {number} [lastEventId]
 * @property {{ path: string, exists: boolean, sizeBytes: number, readBytes: number }} [history]
 * @property {{ path: string, msg: string }[]} [errors]
 * @property {{ parseErrors: number, oversizedLines: number }} [counters]
 * @property {string} [claudeDir]
 * @property {{ files: { hot: number, warm: number, cold: number, open: number } } | null}
 *   [transcripts]
 * @property {{ machines?: Machine[] }} [fleet]
 */

/** @typedef {{ name: string, heardAt: string | null, isSilent: boolean }} Machine  of a fleet */

/** @typedef {{ input: number, output: number, cacheRead: number, cacheWrite: number }} Tokens */

/** @typedef {{ id: string, name: string, input: string, since?: string,
 *   agentId: string | null }} OpenTool
 */

/**
 * @typedef {{ agentId?: string, toolUseId?: string, type?: string, description?: string,
 *   since?: string,
 *   status: "running" | "done" | "failed" | "stopped", tools: number, tokens?: number,
 *   tool?: string }} Agent
 */

/**
 * How many of all transcripts the server has read; off: it reads none.
 * @typedef {"unknown" | "off" | { files: number, done: number }} Reading
 */

/**
 * A session as the server sends it. Unknown values are absent.
 * @typedef {object} Session
 * @property {string} sessionId
 * @property {string} [machine]  of a fleet
 * @property {string} [title]
 * @property {string} [project]
 * @property {string} [gitBranch]
 * @property {"waiting" | "working" | "idle" | "ended"} status
 * @property {string} [since]
 * @property {string} [waitingFor]
 * @property {string} [question]
 * @property {boolean} [shell]
 * @property {boolean} [endedMidTurn]  its process ended, or it fell silent, in the middle of a turn
 * @property {boolean} isLive
 * @property {string} [model]
 * @property {string} [permissionMode]
 * @property {string} [prompt]
 * @property {string} [text]
 * @property {number} queued
 * @property {OpenTool[]} tools
 * @property {Agent[]} agents
 * @property {{ done: number, total: number, active?: string }} [todos]
 * @property {{ count: number, last?: string, at?: string }} [errors]
 * @property {number} denied
 * @property {{ tokens: number, window?: number }} [context]
 * @property {Tokens} [tokens]
 * @property {number} [costUsd]  by the prices of the server
 * @property {number} [reportedCostUsd]  by Claude Code
 * @property {number} turns
 * @property {number} compactions
 * @property {string} [startedAt]
 * @property {string} [lastAt]
 * @property {string} [path]  of the transcript, relative to the Claude directory
 * @property {number} records
 */

/**
 * Sums of API responses, as the server sends them. A sum without a price has no cost.
 * @typedef {Tokens & { responses: number, costUsd?: number }} ServerSum
 */

/**
 * A row of a session can have the part of its subagents, and the cost of the whole session by
 * Claude Code.
 * @typedef {ServerSum & { day: string, project?: string, model?: string, sessionId?: string,
 *   subagents?: ServerSum, reportedCostUsd?: number }} UsageRow
 */

/**
 * Answer of `/api/claude/usage` by day, project, model and session.
 * @typedef {object} Usage
 * @property {{ files: number, done: number }} reading
 * @property {boolean} partial  transcripts are being read
 * @property {string[]} unpriced  models without a price
 * @property {UsageRow[]} rows
 */

/**
 * Sums of a group of rows. The cost is absent if no row has a price.
 * @typedef {object} Group
 * @property {string} name  empty for rows that lack it
 * @property {UsageRow} last  a row of the group's last day
 * @property {number} responses
 * @property {number} input
 * @property {number} output
 * @property {number} cacheRead
 * @property {number} cacheWrite
 * @property {number} tokens  all four
 * @property {number} [cost]  in US dollars
 * @property {boolean} isLess  some of the rows have no price
 * @property {number} [agents]  the cost of subagents
 */

/** @typedef {"cost" | "tokens"} Measure */

/**
 * The days of a chart: their values by series, the largest series first.
 * @typedef {object} Stack
 * @property {string[]} names  of the series; the last one is `OTHER` if there are more
 * @property {{ day: string, total: number, values: number[] }[]} days
 * @property {number[]} totals  of the series
 */

/**
 * The receiver of the stream.
 * @typedef {object} Listener
 * @property {(event: LiveEvent) => void} onEvent
 * @property {() => void} onPing
 * @property {(state: ConnectionState, brokenSinceMs?: number) => void} onState
 */

/** @typedef {{ type: string, data: string }} Message  of the server, as it came */

/**
 * A post of the leading tab: the event after which it comes, and messages or the leader's state.
 * @typedef {{ after: number, messages?: Message[], state?: ConnectionState,
 *   brokenSinceMs?: number }} LeaderPost
 */

/**
 * A post of another tab: it asks for a sign of life, or to go back to an event.
 * @typedef {{ hello?: true, goBackTo?: number }} FollowerPost
 */

/**
 * The nodes of a row, and the row below it while that is open.
 * @typedef {{ tr: any, cells: Record<string, any>, detail?: any }} Row
 */

/**
 * The context of a table's rows, beside their items.
 * @typedef {object} RowContext
 * @property {Map<string, string>} names  of projects
 * @property {string[]} words  to mark, in lower case
 * @property {number} [leftMs]  the end of the last visit
 */

/**
 * A block of a record, or a call with its result.
 * @typedef {object} TimeRow
 * @property {string} key
 * @property {string} recordKey
 * @property {string} kind
 * @property {string} [text]
 * @property {string} [name]  of the tool
 * @property {string} [toolUseId]
 * @property {boolean} [isError]
 * @property {string} [denied]
 * @property {number} [durationMs]
 * @property {number} [ms]
 * @property {number} offset  of the record
 * @property {number} bytes  of the record
 * @property {string | null} agentId
 * @property {TimeRow} [result]
 * @property {boolean} [isOver]  of a call: its turn is over
 */

/**
 * The parts of the page that a view may use.
 * @typedef {object} Frame
 * @property {Health} health
 * @property {Record<string, any>} storage  local storage, or an object where that is disabled
 * @property {import("./colors.js").Colors} colors
 * @property {(path: string) => Promise<any>} get  the JSON at a path; rejects on any other answer
 * @property {(path: string) => Promise<string>} getText  the same, as it is spelled
 * @property {boolean} wantsNotifications
 * @property {(title: string, body: string) => void} notify  of a prompt, if that is wanted
 * @property {(before?: Session, after?: Session) => void} onSession  notifies, if that is wanted
 * @property {() => void} askHealth
 * @property {() => void} drawStatus
 * @property {boolean} isSessionKnown  any is
 * @property {(session: string) => string | undefined} statusOf  a session's status, if it is known
 * @property {(id: string) => Session | undefined} session  a session, if it is known
 * @property {{ q: string, machine: string, project: string, status: string }} shared  the part of
 *   the filter that all views have
 * @property {() => void} step  the next change of the address is one to go back from
 * @property {(filter: any) => void} address  writes the filter of the shown view there
 * @property {(view: View) => boolean} isShown
 */

/**
 * A view of the page. Its button is `data-view=NAME`, its element `#NAME-view`.
 * @typedef {object} View
 * @property {string[]} types  of the events it takes, beside the server's notices and errors
 * @property {() => Promise<number | undefined>} start  loads the present state; gives the id of its
 *   last event, unless the view needs none
 * @property {(event: LiveEvent) => void} onEvent
 * @property {() => void} onHealth  `health` has changed
 * @property {() => void} onHide  the page is hidden or left, or another view is shown
 * @property {() => void} onReturn  the page or the view is visible again
 * @property {() => void} onHashChange
 * @property {(now: number) => void} onTick
 * @property {(now: number) => any[]} status  words of the last line; false ones are left out
 * @property {() => number | undefined} [waiting]  count of sessions that wait, if any is known
 * @property {(id: string) => Session | undefined} [session]
 * @property {() => boolean} [isWanted]  whether it is to be the first view
 * @property {Record<string, (button?: any) => any>} actions  by the `data-do` of buttons
 * @property {Record<string, string>} keys  actions by key
 * @property {Record<string, Record<string, string>>} fieldKeys  the same by the focused element
 */
