/** Lengths of time as the configuration writes them: `500ms`, `30s`, `1h`, `1d`, `0`; a bare number means seconds. */

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(?<amount>\d+(?:\.\d+)?)(?<unit>ms|s|m|h|d)?$/;

/** Whole milliseconds; `undefined` if `written` is not a duration. */
export function parseDuration(written: string | number): number | undefined {
  const groups = DURATION.exec(String(written))?.groups;
  if (groups === undefined) return undefined;
  const milliseconds = Math.round(Number(groups.amount) * UNITS[(groups.unit ?? 's') as keyof typeof UNITS]);
  return Number.isSafeInteger(milliseconds) ? milliseconds : undefined;
}

/** `milliseconds` in the largest unit that leaves no fraction. */
export function formatDuration(milliseconds: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (milliseconds >= UNITS[unit] && milliseconds % UNITS[unit] === 0) return `${milliseconds / UNITS[unit]}${unit}`;
  }
  return `${milliseconds}ms`;
}
