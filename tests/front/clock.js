/** A clock that a test moves by hand. */
export class Clock {
  ms = 0;
  /** @type {{ dueMs: number, step: () => void }[]} */
  #timers = [];

  now = () => this.ms;
  later = (step, ms) => this.#timers.push({ dueMs: this.ms + ms, step });

  /** Runs the timers that are due, and the microtasks after them. */
  async to(ms) {
    this.ms = ms;
    const isDue = ({ dueMs }) => dueMs <= ms;
    const due = this.#timers.filter(isDue);
    this.#timers = this.#timers.filter((timer) => !isDue(timer));
    for (const { step } of due) step();
    await settled();
  }
}

/** Resolves after all promises that are ready have run. */
export const settled = () => new Promise((resume) => setImmediate(resume));
