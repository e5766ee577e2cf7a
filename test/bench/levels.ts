/** `levels`: what each level of compression costs and saves, on the documents that are served. */
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { snapshotsDir } from '../../src/build.ts';
import { snapshotPath } from '../../src/indexing/indexer.ts';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import type { Compression } from '../../src/indexing/snapshot/encodings.ts';
import { compress } from '../../src/indexing/snapshot/encodings.ts';
import { Snapshot } from '../../src/indexing/snapshot/snapshot.ts';
import type { Benchmark } from './benchmark.ts';
import { buildRandomState, NO_REGISTRY, usualApps } from './random-state.ts';
import type { Cell, Table } from './table.ts';

const LEVELS: Readonly<Record<Compression, readonly number[]>> = {
  gzip: [1, 2, 4, 6, 9],
  br: [1, 3, 4, 5, 6, 9, 11],
  zstd: [1, 3, 6, 9, 12, 15, 19],
};

export const levels: Benchmark = {
  summary: 'bytes and time of each level of compression, of large and small documents',
  run: async () => {
    const documents = [...(await documentsOf(500)), ...(await documentsOf(5))];
    const tables: Table[] = [];
    for (const [title, document] of documents) tables.push(await levelsTable(title, document));
    return tables;
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

async function levelsTable(title: string, document: Buffer): Promise<Table> {
  process.stderr.write(`compressing ${title}\n`);
  const rows: Cell[][] = [];
  for (const encoding of ['gzip', 'br', 'zstd'] as const) {
    const used = await compress(document, encoding);
    for (const level of LEVELS[encoding]) {
      const before = process.cpuUsage();
      const compressed = compressSync(document, encoding, level);
      const { user, system } = process.cpuUsage(before);
      rows.push([encoding, level, compressed.length, (100 * compressed.length) / document.length, (user + system) / 1000, compressed.equals(used) ? 'used' : '']);
    }
  }
  return {
    title: `Compression: ${title}`,
    columns: [{ name: 'encoding' }, { name: 'level' }, { name: 'bytes' }, { name: '% of the document', digits: 1 }, { name: 'CPU ms', digits: 1 }, { name: '' }],
    rows,
  };
}

function compressSync(document: Buffer, encoding: Compression, level: number): Buffer {
  switch (encoding) {
    case 'gzip':
      return gzipSync(document, { level });
    case 'br':
      return brotliCompressSync(document, { params: { [constants.BROTLI_PARAM_QUALITY]: level, [constants.BROTLI_PARAM_SIZE_HINT]: document.length } });
    case 'zstd':
      return zstdCompressSync(document, { params: { [constants.ZSTD_c_compressionLevel]: level } });
  }
}
