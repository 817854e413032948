// The types that the page's modules share. They stand here, as everything in `static/` is sent to the browser.

/** An event as the server sends it. */
interface LiveEvent {
  id: number;
  ts: string;
  type: string;
  data: any;
}

/** An event as the page holds it. */
interface Item {
  id: number;
  /** Its time, since 1970. */
  ms: number;
  /** A key of `KINDS`. */
  kind: string;
  /** What its row says. */
  text: string;
  /** Empty where there is none. */
  project: string;
  /** Empty where there is none. */
  session: string;
  /** Whether its row shows the whole event. */
  open: boolean;
  /** Whether it was cleared away. */
  isCleared?: boolean;
  event: LiveEvent;
  /** What a search looks through, made on first use. */
  haystack?: string;
}

/** What `/api/claude/live/backlog` answers; newest first. */
interface Backlog {
  limit: number;
  lastEventId: number;
  events: LiveEvent[];
}

/** Which rows are wanted; empty strings ask for nothing. */
interface Filter {
  q: string;
  kind: string;
  project: string;
  session: string;
}

/** A part of a prompt: `text`, `secret` (with the name of its rule), `chip`, `code` or `odd`. */
interface Piece {
  kind: string;
  text: string;
  name?: string;
}

/** Where a secret is in a text. */
interface Span {
  start: number;
  end: number;
  name: string;
}

/** A JSON value, its text and key as they are spelled, with their quotes; the key is empty where there is none. */
interface Branch {
  kind: "object" | "array" | "string" | "number" | "word";
  text: string;
  key: string;
  items: Branch[];
}

/** A minute of the chart: when it began, its prompts, and these by project, the most first. */
interface Minute {
  ms: number;
  total: number;
  parts: [project: string, count: number][];
}

/** `locked`: the server wants its token. */
type State = "connecting" | "live" | "reconnecting" | "offline" | "locked";

/** Who listens to the stream. `brokenSince` is 0 while the server answers. */
interface Listener {
  event(type: string, data: string): void;
  state(state: State, brokenSince: number): void;
  /** Something can have come before this tab began to listen to another. */
  reload(): void;
  /** The newest id that was heard. */
  lastId(): number;
}
