/** Numbers that are the same in every run. */
export class Random {
  constructor(seed) {
    this.state = seed;
  }

  below(limit) {
    this.state = (this.state * 48_271) % 2_147_483_647;
    return this.state % limit;
  }
}
