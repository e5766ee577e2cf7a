/** Keeps a log legible when the same thing happens again and again. */

const ONE_LINE_PER = 60_000;

interface Line {
  /** When it was written, in milliseconds since the epoch. */
  readonly at: number;
  /** How many were left out since. */
  omitted: number;
}

/** Lets one line of each kind through a minute. */
export class LimitedLog<Kind extends string> {
  readonly #lines = new Map<Kind, Line>();

  /** Has `write` write a line, unless one of its kind was written within the last minute; tells it how many were left out since. */
  line(kind: Kind, write: (omitted: number) => void): void {
    const now = Date.now();
    const last = this.#lines.get(kind);
    if (last !== undefined && now - last.at < ONE_LINE_PER) {
      last.omitted++;
      return;
    }
    this.#lines.set(kind, { at: now, omitted: 0 });
    write(last?.omitted ?? 0);
  }
}
