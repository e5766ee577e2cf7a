/**
 * Reads what a tar archive holds, and where: ustar, PAX and GNU headers (POSIX.1-2024, pax, "ustar Interchange Format"
 * and "pax Extended Header"; GNU tar, "Basic Tar Format").
 */
import { posix } from 'node:path';
import { DeltaError } from './delta-error.ts';
import type { RandomAccess } from './random-access.ts';

const BLOCK = 512;
/** The most bytes of an extended header, which holds paths and attributes of one entry. */
const MAX_EXTENSION_BYTES = 1024 * 1024;
/** The most entries of an archive, and bytes of their paths: all are in memory. */
const MAX_ENTRIES = 500_000;
const MAX_PATHS_BYTES = 128 * 1024 * 1024;
/** The most bytes of a path that Linux opens; longer ones are not valid. */
const MAX_PATH_BYTES = 4095;
/** Fields of a header that are read: their first byte and the one after their last. */
const FIELDS = {
  name: [0, 100],
  mode: [100, 108],
  size: [124, 136],
  checksum: [148, 156],
  type: [156, 157],
  link: [157, 257],
  magic: [257, 265],
  prefix: [345, 500],
} as const;
/** The magic and version of headers whose prefix is a part of the path; GNU keeps other things there. */
const USTAR = 'ustar\u000000';
/** Flags of a GNU sparse header, and of its continuations, which say that a continuation follows. */
const SPARSE_CONTINUES = 482;
const CONTINUATION_CONTINUES = 504;
/** Types of entries without content, whatever their size says: links, devices, folders, pipes. */
const WITHOUT_CONTENT = '123456';
const READABLE_BY_ALL = 0o004;

/** One entry of an archive. Paths are clean and relative; their characters stand for bytes (latin1). */
export interface TarEntry {
  /** Empty if it is not valid, or the root. */
  readonly path: string;
  /** A regular file, a hard link, a folder, or any other kind: a sparse file, whose content is encoded, is one. */
  readonly kind: 'file' | 'link' | 'folder' | 'other';
  /** The path that a hard link leads to. */
  readonly target: string;
  /** Where the content begins in the archive. */
  readonly position: number;
  /** The size of the content in bytes. */
  readonly size: number;
  /** Says whether all users may read it. */
  readonly readable: boolean;
}

/** Fields of extended headers for the entry that follows them. */
interface Extension {
  path?: string;
  target?: string;
  size?: number;
  sparse?: boolean;
}

/**
 * Reads the entries up to the end of the archive.
 * @throws DeltaError `damaged` if it is not a tar archive or ends early, `unsupported` for global headers that move
 * entries, `too-large` if it has too many entries.
 */
export function* readTar(archive: RandomAccess): Generator<TarEntry> {
  let extension: Extension = {};
  let [entries, pathsBytes] = [0, 0];
  for (let position = 0; position < archive.size;) {
    const header = Header.parse(archive.read(position, BLOCK), `${archive.name}, byte ${position}`);
    if (header === undefined) return;
    position += BLOCK;
    if (header.type === 'S') position += sparseMapBytes(archive, position - BLOCK);
    const size = WITHOUT_CONTENT.includes(header.type) ? 0 : (extension.size ?? header.size);
    if (size > archive.size - position) throw new DeltaError('damaged', `${archive.name}: ends early`);
    if (++entries > MAX_ENTRIES) throw new DeltaError('too-large', `${archive.name}: more than ${MAX_ENTRIES} entries`);

    if ('xgLK'.includes(header.type)) {
      if (size > MAX_EXTENSION_BYTES)
        throw new DeltaError('damaged', `${archive.name}: an extended header of ${size} bytes`);
      extension = extend(extension, header.type, archive.read(position, size), archive.name);
    } else {
      const entry = entryOf(header, extension, position, size);
      pathsBytes += entry.path.length + entry.target.length;
      if (pathsBytes > MAX_PATHS_BYTES)
        throw new DeltaError('too-large', `${archive.name}: paths of more than ${MAX_PATHS_BYTES} bytes`);
      yield entry;
      extension = {};
    }
    position += Math.ceil(size / BLOCK) * BLOCK;
  }
}

function entryOf(header: Header, { path, target, sparse }: Extension, position: number, size: number): TarEntry {
  const name = path ?? header.path;
  return {
    path: cleanPath(name),
    kind: sparse === true ? 'other' : kindOf(header.type, name),
    target: cleanPath(target ?? header.target),
    position,
    size,
    readable: header.readable,
  };
}

function kindOf(type: string, name: string): TarEntry['kind'] {
  switch (type) {
    case '0':
    case '7':
      // As archives before ustar have it.
      return name.endsWith('/') ? 'folder' : 'file';
    case '1':
      return 'link';
    case '5':
      return 'folder';
    default:
      return 'other';
  }
}

/** The path without `.`, `..` and double slashes, relative to the root; empty if it is that, or too long. */
export function cleanPath(path: string): string {
  const clean = posix.normalize(`/${path}`).replace(/^\/+|\/+$/g, '');
  return clean.length > MAX_PATH_BYTES ? '' : clean;
}

/** The header of one entry. */
class Header {
  readonly path: string;
  readonly target: string;
  readonly type: string;
  readonly size: number;
  readonly readable: boolean;

  private constructor(block: Buffer, where: string) {
    const prefix = block.toString('latin1', ...FIELDS.magic) === USTAR ? text(block, FIELDS.prefix) : '';
    this.path = (prefix === '' ? '' : `${prefix}/`) + text(block, FIELDS.name);
    this.target = text(block, FIELDS.link);
    this.type = block.toString('latin1', ...FIELDS.type).replace('\0', '0');
    this.size = number(block, FIELDS.size);
    const mode = number(block, FIELDS.mode);
    if (Number.isNaN(this.size) || Number.isNaN(mode))
      throw new DeltaError('damaged', `${where}: has a number that is not valid`);
    this.readable = (mode & READABLE_BY_ALL) !== 0;
  }

  /**
   * Parses a block; `undefined` if it is empty, which ends the archive.
   * @throws DeltaError `damaged` if it is not a header.
   */
  static parse(block: Buffer, where: string): Header | undefined {
    const [start, end] = FIELDS.checksum;
    // Some writers summed up signed bytes.
    let [unsigned, signed] = [0, 0];
    for (let place = 0; place < BLOCK; place++) {
      const value = place >= start && place < end ? 0x20 : (block[place] as number);
      unsigned += value;
      signed += value < 0x80 ? value : value - 0x100;
    }
    if (unsigned === (end - start) * 0x20 && block.every((byte) => byte === 0)) return undefined;
    const checksum = number(block, FIELDS.checksum);
    if (checksum !== unsigned && checksum !== signed)
      throw new DeltaError('damaged', `${where}: is not the header of an entry of a tar archive`);
    return new Header(block, where);
  }
}

type Field = readonly [start: number, end: number];

/** The text up to the first NUL. */
function text(block: Buffer, [start, end]: Field): string {
  const nul = block.subarray(start, end).indexOf(0);
  return block.toString('latin1', start, nul === -1 ? end : start + nul);
}

/** An octal number, or with the highest bit set a binary one (GNU tar, "Extensions"); NaN if it is not valid. */
function number(block: Buffer, [start, end]: Field): number {
  let value = 0;
  if (((block[start] as number) & 0x80) !== 0) {
    for (let place = start; place < end; place++)
      value = value * 0x100 + ((block[place] as number) & (place === start ? 0x7f : 0xff));
  } else {
    const digits = block.toString('latin1', start, end).replace(/^[ \0]+|[ \0][^]*$/g, '');
    value = /^[0-7]*$/.test(digits) ? Number.parseInt(digits || '0', 8) : NaN;
  }
  return Number.isSafeInteger(value) ? value : NaN;
}

/** The bytes of the maps that follow the header of a GNU sparse file. */
function sparseMapBytes(archive: RandomAccess, position: number): number {
  let bytes = 0;
  let continues = archive.read(position, BLOCK)[SPARSE_CONTINUES] !== 0;
  while (continues) {
    bytes += BLOCK;
    continues = archive.read(position + bytes, BLOCK)[CONTINUATION_CONTINUES] !== 0;
  }
  return bytes;
}

/** Adds what an extended header says to what is known of the next entry. */
function extend(known: Extension, type: string, content: Buffer, name: string): Extension {
  if (type === 'L') return { ...known, path: text(content, [0, content.length]) };
  if (type === 'K') return { ...known, target: text(content, [0, content.length]) };
  const records = paxRecords(content, name);
  // An empty value stands for none.
  const [target, size] = ['linkpath', 'size'].map((key) => records.get(key) || undefined);
  const path = records.get('GNU.sparse.name') || records.get('path') || undefined;
  if (type === 'g') {
    // Readers differ in whether they apply these.
    if (path !== undefined || target !== undefined || size !== undefined)
      throw new DeltaError('unsupported', `${name}: a global header sets paths or sizes`);
    return known;
  }
  const sparse = records.keys().some((key) => key.startsWith('GNU.sparse.'));
  if (size !== undefined && !(/^\d+$/.test(size) && Number.isSafeInteger(Number(size))))
    throw new DeltaError('damaged', `${name}: has a number that is not valid`);
  return {
    ...known,
    ...(path !== undefined && { path }),
    ...(target !== undefined && { target }),
    ...(size !== undefined && { size: Number(size) }),
    ...(sparse && { sparse }),
  };
}

/** The records `LENGTH KEY=VALUE\n` of a PAX header; the length is that of the whole record. */
function paxRecords(content: Buffer, name: string): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let start = 0; start < content.length;) {
    const space = content.indexOf(0x20, start);
    const digits = content.toString('latin1', start, Math.max(start, space));
    const end = start + Number(/^\d{1,7}$/.test(digits) ? digits : 0);
    const equals = content.indexOf(0x3d, space);
    if (end <= space || equals === -1 || equals >= end || end > content.length || content[end - 1] !== 0x0a)
      throw new DeltaError('damaged', `${name}: has an extended header that is not valid`);
    records.set(content.toString('latin1', space + 1, equals), content.toString('latin1', equals + 1, end - 1));
    start = end;
  }
  return records;
}
