import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempDisposable, readdir, readFile, writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { stringify } from 'yaml';
import { RecoveringIndexer } from '../../src/app/recovering-indexer.ts';
import { indexingOptions } from '../../src/app/indexing-options.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { iconPath } from '../../src/indexing/icons/icon-path.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';
import { TEMPORARY_SUFFIX } from '../../src/system/write-file.ts';
import { digestOf } from '../../src/registry/digest.ts';
import { PublicationLoader } from '../../src/server/documents/publication-loader.ts';
import { ServedIndex } from '../../src/server/documents/served-index.ts';
import { SqliteStore, storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { CLI } from '../peers/regindexer.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { randomConfig, randomNumbers, randomRepository } from '../sources/random-images.ts';

const KILLS = 50;
/** Programs at once, each with its own state: most of a kill is the start of a process. */
const LANES = 2;
const REPOSITORIES = 16;
/** Repositories that hold something new at each rebuild. */
const CHANGED = 6;
/** Small, so that the compressor is not what takes the time. */
const SIZE = { icons: 4_000, appdata: 400 };
const INDEXES = ['all', 'stable'];

test(`after each of ${KILLS} kills at random moments of a rebuild all that is on disk is whole, and the next start makes it right`, async (t) => {
  const seeds = Array.from({ length: LANES }, () => randomInt(2 ** 31));
  await Promise.all(seeds.map((seed) => killOften(t, seed)));
});

async function killOften(t: TestContext, seed: number): Promise<void> {
  const random = randomNumbers(seed);
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-crash-'));
  await using registry = await LabelRegistry.start();
  const file = join(folder.path, 'config.yaml');
  const definition = { registry: registry.url, extract_icons: true };
  const indexes = Object.fromEntries(
    INDEXES.map((name) => [
      name,
      { ...definition, output: `out/${name}.json`, ...(name === 'stable' && { tags: ['stable'] }) },
    ]),
  );
  await writeFile(file, stringify({ state_dir: 'state', icons_dir: 'icons', clean_files_after: 0, indexes }));
  const disk = new Disk(folder.path);

  let version = 0;
  const change = (count: number): void => {
    version++;
    for (let i = 0; i < count; i++) {
      const number = count === REPOSITORIES ? i : Math.floor(random() * REPOSITORIES);
      registry.push(randomRepository(number), {
        tag: random() < 0.5 ? 'stable' : 'latest',
        labels: randomConfig(number, version, 'amd64', SIZE).labels,
      });
    }
  };
  /** A start, and a rebuild to its end. */
  const start = async (): Promise<void> => {
    const build = await RecoveringIndexer.open(indexingOptions(readConfig(file, {})), { onWarning: assert.fail });
    try {
      const { failures, indexes: made } = await build.rebuild(registry.url, EVERYTHING);
      assert.deepEqual([failures, made.map(({ error }) => error)], [[], INDEXES.map(() => undefined)]);
    } finally {
      await build.close();
    }
  };
  /** Runs the program; `ended` when it has, after how many milliseconds since it first asked the registry. */
  const run = async (): Promise<{
    kill: () => void;
    ended: Promise<{ signal: NodeJS.Signals | null; after: number }>;
  }> => {
    const asked = registry.asked();
    const program = spawn(process.execPath, [CLI, '-c', file, 'index'], {
      env: bareEnvironment(folder.path),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let log = '';
    program.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
    const exit = once(program, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    await Promise.race([asked, exit]);
    const began = performance.now();
    return {
      kill: () => void program.kill('SIGKILL'),
      ended: exit.then(([code, signal]) => {
        assert.ok(signal !== null || code === 0, `exited with ${code}: ${log}`);
        return { signal, after: performance.now() - began };
      }),
    };
  };

  change(REPOSITORIES);
  await start();
  let old = await disk.indexes();
  change(CHANGED);
  const { after: duration } = await (await run()).ended;
  let killed = 0;
  const seen = new Map<string, number>();
  for (let kill = 0; kill < KILLS / LANES; kill++) {
    old = await disk.indexes();
    change(CHANGED);
    const program = await run();
    const moment = random() * duration * 1.1;
    await pause(moment);
    program.kill();
    const { signal } = await program.ended;
    if (signal === 'SIGKILL') killed++;
    const what = `seed ${seed}, kill ${kill}, ${Math.round(moment)} ms after the first request`;
    const left = await disk.check(what);
    await start();
    const now = await disk.check(`${what}, after the next start`);
    for (const [place, text] of Object.entries(left)) {
      assert.ok(
        text === old[place] || text === now[place],
        `${what}: ${place} is neither the old index nor the new one`,
      );
      assert.equal(
        now[place],
        now[place.replace(/^file/, 'publication')],
        `${what}: the file and what is served differ`,
      );
    }
    const state = Object.entries(left)
      .map(([place, text]) => `${place.split(' ')[0]} ${text === now[place] ? 'new' : 'old'}`)
      .join(', ');
    seen.set(state, (seen.get(state) ?? 0) + 1);
    assert.deepEqual(await disk.leftovers(), [], what);
  }
  t.diagnostic(
    `seed ${seed}: ${KILLS / LANES} moments within ${Math.round(duration)} ms, ${killed} of them before the end; found ${JSON.stringify(Object.fromEntries(seen))}`,
  );
}

/** What lies in the folders of the program. */
class Disk {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The indexes, as they are in output files and as they are served. */
  async indexes(): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const name of INDEXES) {
      found[`file of ${name}`] = await readFile(join(this.#folder, 'out', `${name}.json`), 'utf8');
      found[`publication of ${name}`] = await this.#published(name);
    }
    return found;
  }

  /** The same; fails if any of it is not whole. */
  async check(what: string): Promise<Record<string, string>> {
    for (const file of Object.values(storeFiles(join(this.#folder, 'state')))) {
      using database = new DatabaseSync(file);
      assert.deepEqual(
        database
          .prepare('PRAGMA integrity_check')
          .all()
          .map((row) => ({ ...row })),
        [{ integrity_check: 'ok' }],
        what,
      );
      assert.deepEqual(database.prepare('PRAGMA foreign_key_check').all(), [], what);
    }
    const indexes = await this.indexes();
    for (const [place, text] of Object.entries(indexes)) {
      JSON.parse(text);
      for (const [, path = ''] of text.matchAll(/"\/icons\/([0-9a-f]{2}\/[0-9a-f]{62}\.png)"/g)) {
        const icon = await readFile(join(this.#folder, 'icons', path)).catch((error: unknown) =>
          assert.fail(`${what}: ${place} names an icon that is not there: ${String(error)}`),
        );
        assert.equal(iconPath(digestOf(icon)), path, `${what}: an icon that ${place} names`);
      }
    }
    return indexes;
  }

  /** Files that nobody will ever use. */
  async leftovers(): Promise<readonly string[]> {
    const files = await readdir(this.#folder, { recursive: true, withFileTypes: true });
    return files
      .filter((entry) => entry.name.endsWith(TEMPORARY_SUFFIX) || entry.name.includes('damaged'))
      .map(({ name }) => name);
  }

  /** The whole document of an index as it is served; fails unless all that it consists of can be read. */
  async #published(name: string): Promise<string> {
    const reader =
      SqliteStore.openPublications(join(this.#folder, 'state')) ?? assert.fail('nothing was ever published');
    try {
      const index = new ServedIndex({ name, fileName: name, maxAge: 0, repositoryPriority: [] });
      await new PublicationLoader(reader).load(index);
      const { chunks } = index.shown ?? assert.fail(`${name} is not published`);
      for (const chunk of chunks) {
        await chunk.whole.entries.bytes();
        for (const icon of chunk.icons) assert.ok(await reader.png(icon), `${name} names an icon that is not there`);
      }
      const ready = index.question('tag=stable&os=linux&architecture=amd64&label:org.flatpak.ref:exists=1').document;
      for (const document of [index.whole(), ready]) {
        const [plain, zipped] = await Promise.all([
          document?.get('identity')?.body.read(),
          document?.get('gzip')?.body.read(),
        ]);
        assert.deepEqual(gunzipSync(zipped ?? ''), plain);
      }
      return String(await index.whole()?.get('identity')?.body.read());
    } finally {
      await reader.close();
    }
  }
}
