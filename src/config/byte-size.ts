/** Sizes as the configuration writes them: `500`, `100kB`, `1GiB`; a bare number means bytes. */

const UNITS = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
} as const;
const SIZE = new RegExp(`^(?<amount>\\d+(?:\\.\\d+)?) ?(?<unit>${Object.keys(UNITS).join('|')})?$`);

/** Whole bytes; `undefined` if `written` is not a size. */
export function parseByteSize(written: string | number): number | undefined {
  const groups = SIZE.exec(String(written))?.groups;
  if (groups === undefined) return undefined;
  const bytes = Math.round(Number(groups.amount) * UNITS[(groups.unit ?? 'B') as keyof typeof UNITS]);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
