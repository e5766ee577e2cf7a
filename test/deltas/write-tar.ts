/** Writes small tar archives, in the formats that there are. */

/** One entry of an archive. */
export interface WrittenEntry {
  readonly path: string;
  /** Of a regular file; none for the others. */
  readonly content?: Uint8Array;
  /** The type flag; a regular file by default. */
  readonly type?: string;
  readonly target?: string;
  readonly mode?: number;
  /** How a path goes into the header that is too long for it; `pax` by default. */
  readonly long?: 'pax' | 'gnu' | 'prefix';
  /** More records of a PAX header. */
  readonly pax?: Readonly<Record<string, string>>;
  /** Written instead of the content's size. */
  readonly size?: number | Buffer;
}

const BLOCK = 512;
const NAME_BYTES = 100;
const CHECKSUM_START = 148;
const CHECKSUM_END = 156;

/** An archive with two empty blocks at its end. */
export function tarOf(entries: readonly WrittenEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(blocksOf), Buffer.alloc(2 * BLOCK)]);
}

function blocksOf(entry: WrittenEntry): readonly Buffer[] {
  const { path, content = new Uint8Array(0), target = '', long = 'pax' } = entry;
  const records: Record<string, string> = { ...entry.pax };
  const before: Buffer[] = [];
  if (Buffer.byteLength(path) > NAME_BYTES && long === 'pax') records['path'] = path;
  if (Buffer.byteLength(target) > NAME_BYTES && long === 'pax') records['linkpath'] = target;
  if (long === 'gnu' && Buffer.byteLength(path) > NAME_BYTES) before.push(...longName('L', path));
  if (long === 'gnu' && Buffer.byteLength(target) > NAME_BYTES) before.push(...longName('K', target));
  if (Object.keys(records).length > 0) before.push(...extended('x', records));
  return [...before, headerOf(entry), padded(content)];
}

/** An entry with PAX records: of the next entry (`x`), or of all that follow (`g`). */
export function extended(type: 'x' | 'g', records: Readonly<Record<string, string>>): readonly Buffer[] {
  const content = Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)));
  return [headerOf({ path: 'PaxHeaders/x', type, content }), padded(content)];
}

function longName(type: string, name: string): readonly Buffer[] {
  const content = Buffer.from(`${name}\0`);
  return [headerOf({ path: '././@LongLink', type, content }), padded(content)];
}

function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`);
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function headerOf({ path, content, type = '0', target = '', mode = 0o644, long, size }: WrittenEntry): Buffer {
  const header = Buffer.alloc(BLOCK);
  let name = Buffer.from(path);
  if (long === 'prefix') {
    const slash = path.lastIndexOf('/');
    header.write(path.slice(0, slash), 345, 155);
    name = Buffer.from(path.slice(slash + 1));
  }
  name.copy(header, 0, 0, NAME_BYTES);
  header.write(mode.toString(8).padStart(7, '0'), 100);
  header.write('0000000', 108);
  header.write('0000000', 116);
  if (Buffer.isBuffer(size)) size.copy(header, 124);
  else header.write((size ?? content?.length ?? 0).toString(8).padStart(11, '0'), 124);
  header.write('00000000000', 136);
  header.write(type, 156);
  header.write(target, 157, NAME_BYTES);
  header.write(long === 'gnu' ? 'ustar  \0' : 'ustar\x0000', 257, 'latin1');
  return withChecksum(header);
}

/** The same header with the right checksum. */
export function withChecksum(header: Buffer): Buffer {
  header.fill(' ', CHECKSUM_START, CHECKSUM_END);
  const sum = header.subarray(0, BLOCK).reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM_START);
  return header;
}

function padded(content: Uint8Array): Buffer {
  return Buffer.concat([content, Buffer.alloc(-content.length & (BLOCK - 1))]);
}
