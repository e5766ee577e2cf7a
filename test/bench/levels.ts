/** `levels`: what each level of compression costs and saves, on the documents that are served. */
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { snapshotsDir } from '../../src/build.ts';
import { snapshotPath } from '../../src/indexing/indexer.ts';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import type { Compression } from '../../src/indexing/snapshot/encodings.ts';
import { levelsFor, optionsFor } from '../../src/indexing/snapshot/encodings.ts';
import { Snapshot } from '../../src/indexing/snapshot/snapshot.ts';
import type { Benchmark } from './benchmark.ts';
import { buildRandomState, NO_REGISTRY, usualApps } from './random-state.ts';
import type { Cell, Table } from './table.ts';

const LEVELS: Readonly<Record<Compression, readonly number[]>> = {
  gzip: [1, 2, 3, 4, 5, 6, 9],
  br: [1, 3, 4, 5, 6, 7, 9, 11],
  zstd: [1, 3, 6, 9, 12, 15, 19],
};

export const levels: Benchmark = {
  summary: 'bytes and time of each level of compression, of large and small documents',
  run: async () => {
    const documents = [...(await documentsOf(500)), ...(await documentsOf(5))];
    return documents.map(([title, document]) => levelsTable(title, document));
  },
};

/** The whole index over so many apps, and the answer to what Flatpak asks of it. */
async function documentsOf(repositories: number): Promise<readonly (readonly [string, Buffer])[]> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-levels-'));
  const config = join(folder.path, 'config.yaml');
  await writeFile(config, `indexes: {apps: {registry: "${NO_REGISTRY}", extract_icons: true}}\n`);
  await buildRandomState(config, usualApps(repositories));
  const snapshot = await Snapshot.open(snapshotPath(snapshotsDir(join(folder.path, 'state')), 'apps'));
  const read = async (canonical: string): Promise<readonly [string, Buffer]> => {
    const document = snapshot.document(canonical);
    if (document === undefined) throw new Error(`the snapshot has no answer to "${canonical}"`);
    const { identity } = document.representations;
    const what = canonical === '' ? 'whole index' : 'one tag and architecture';
    return [`${what}, ${document.images.toLocaleString('en')} images, ${identity.length.toLocaleString('en')} bytes`, await snapshot.read(identity)];
  };
  return [await read(''), await read(flatpakQuery('latest', 'amd64').canonical)];
}

function levelsTable(title: string, document: Buffer): Table {
  process.stderr.write(`compressing ${title}\n`);
  const used = levelsFor(document.length);
  const rows: Cell[][] = [];
  for (const encoding of ['gzip', 'br', 'zstd'] as const) {
    for (const level of LEVELS[encoding]) {
      const before = process.cpuUsage();
      const { length } = compressAtLevel(document, encoding, level);
      const { user, system } = process.cpuUsage(before);
      rows.push([encoding, level, length, (100 * length) / document.length, (user + system) / 1000, level === used[encoding] ? 'used' : '']);
    }
  }
  return {
    title: `Compression: ${title}`,
    columns: [{ name: 'encoding' }, { name: 'level' }, { name: 'bytes' }, { name: '% of the document', digits: 1 }, { name: 'CPU ms', digits: 1 }, { name: '' }],
    rows,
  };
}

function compressAtLevel(document: Buffer, encoding: Compression, level: number): Buffer {
  const options = optionsFor(document.length, { ...levelsFor(document.length), [encoding]: level });
  switch (encoding) {
    case 'gzip':
      return gzipSync(document, options.gzip);
    case 'br':
      return brotliCompressSync(document, options.br);
    case 'zstd':
      return zstdCompressSync(document, options.zstd);
  }
}
