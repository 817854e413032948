/** A session as Claude Code writes it: a transcript, subagents, and an entry of the registry. */
import { appendFile, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const USAGE = { input_tokens: 3, output_tokens: 400, cache_read_input_tokens: 50_000 };

let written = 0;

export class Claude {
  calls = 0;

  /** The process of the test stands for the session's: it is alive. */
  constructor(
    dir,
    title,
    { project = "/home/demo/src/alpha", pid = process.pid, branch = "main" } = {},
  ) {
    written += 1;
    const number = String(written).padStart(12, "0");
    Object.assign(this, { dir, title, project, pid, branch });
    this.id = `0b6f3c52-1111-4a7e-9c11-${number}`;
    this.folder = join(dir, "projects", project.replace(/[^A-Za-z0-9]/g, "-"));
    this.path = join(this.folder, `${this.id}.jsonl`);
    this.entry = join(dir, "sessions", `${pid}.json`);
  }

  record(type, more, { agentId, at = Date.now() } = {}) {
    written += 1;
    return {
      type,
      ...more,
      ...(agentId ? { agentId, isSidechain: true } : {}),
      uuid: `00000000-0000-4000-8000-${String(written).padStart(12, "0")}`,
      sessionId: this.id,
      timestamp: new Date(at).toISOString(),
      cwd: this.project,
      gitBranch: this.branch,
      version: "2.1.289",
    };
  }

  async append(...records) {
    await this.appendTo(this.path, ...records);
  }

  async appendTo(path, ...records) {
    await mkdir(join(path, ".."), { recursive: true });
    await appendFile(path, records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  }

  ofAssistant(content, { stop = null, model = "claude-opus-5", usage = USAGE, ...more } = {}) {
    const message = { role: "assistant", model, stop_reason: stop, usage };
    return this.record(
      "assistant",
      { message: { ...message, id: `msg_${written}`, content }, requestId: `req_${written}` },
      more,
    );
  }

  async begin(prompt, more) {
    await this.append({ type: "ai-title", aiTitle: this.title, sessionId: this.id });
    await this.prompt(prompt, more);
  }

  prompt(text, more) {
    return this.append(this.record("user", { message: { role: "user", content: text } }, more));
  }

  say(text, more) {
    return this.append(this.ofAssistant([{ type: "text", text }], more));
  }

  /** Calls a tool, and returns the call's id. */
  async call(name, input, more) {
    this.calls += 1;
    const id = `toolu_${this.calls}`;
    await this.append(this.ofAssistant([{ type: "tool_use", id, name, input }], more));
    return id;
  }

  resultOf(id, text, { isError = false, result, ...more } = {}) {
    const content = [{ type: "tool_result", tool_use_id: id, content: text, is_error: isError }];
    const message = { role: "user", content };
    return this.record("user", { message, ...(result ? { toolUseResult: result } : {}) }, more);
  }

  result(id, text, more) {
    return this.append(this.resultOf(id, text, more));
  }

  endTurn(durationMs = 1_000, more) {
    return this.append(
      this.record("system", { subtype: "turn_duration", durationMs, isMeta: false }, more),
    );
  }

  /** Writes the registry's word: `busy`, `waiting` or `idle`. */
  async status(status, waitingFor) {
    await mkdir(join(this.dir, "sessions"), { recursive: true });
    const entry = { pid: this.pid, sessionId: this.id, cwd: this.project, status };
    const times = { startedAt: Date.now() - 60_000, statusUpdatedAt: Date.now() };
    await writeFile(this.entry, JSON.stringify({ ...entry, ...times, waitingFor }));
  }

  async subagent(agentId, meta, ...texts) {
    const folder = join(this.folder, this.id, "subagents");
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `agent-${agentId}.meta.json`), JSON.stringify(meta));
    const records = texts.map((text) =>
      this.ofAssistant([{ type: "text", text }], { agentId, stop: "end_turn" }),
    );
    await this.appendTo(join(folder, `agent-${agentId}.jsonl`), ...records);
  }

  async remove() {
    await rm(this.entry, { force: true });
    await rm(this.path, { force: true });
  }
}
