/** Limits the rate of repeated log lines. */

/** The shortest time between two lines of one kind, in milliseconds. */
const INTERVAL = 60_000;

interface Line {
  /** When it was written, in milliseconds since the epoch. */
  readonly at: number;
  /** The number of lines omitted since. */
  omitted: number;
}

/** Writes at most one log line of each kind a minute. */
export class LimitedLog<Kind extends string> {
  readonly #lines = new Map<Kind, Line>();

  /**
   * Calls `write` unless a line of this kind was written within the last minute.
   * @param write gets the number of lines omitted since
   */
  line(kind: Kind, write: (omitted: number) => void): void {
    const now = Date.now();
    const last = this.#lines.get(kind);
    if (last !== undefined && now - last.at < INTERVAL) {
      last.omitted++;
      return;
    }
    this.#lines.set(kind, { at: now, omitted: 0 });
    write(last?.omitted ?? 0);
  }
}
