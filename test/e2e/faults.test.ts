import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import pMap from 'p-map';
import { request } from 'undici';
import { RecoveringIndexer } from '../../src/app/recovering-indexer.ts';
import { EVERYTHING, type RebuildResult } from '../../src/indexing/rebuild.ts';
import { defineIndex, type IndexJson } from '../indexing/test-state.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { needs } from '../peers/installed.ts';
import { FaultProxy } from '../sources/fault-proxy.ts';
import { FAULTS } from '../sources/faults.ts';
import { randomNumbers } from '../sources/random-images.ts';
import { RegistryWriter } from './registry-writer.ts';

const SEEDS = 200;
const REPOSITORIES = 60;
const TAGS = ['latest', 'stable'];
/** Which part of all requests is spoilt; every seed takes one. */
const RATES = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8];
/** Slow faults are played by one seed in so many. */
const SLOW_SEEDS = 25;
/** By these a registry seems to hold less, and nothing tells that it does not. */
const UNNOTICED = new Set(['an empty catalog', 'a catalog cut short']);

const QUICK_FAULTS = Object.keys(FAULTS).filter((name) => FAULTS[name]?.slow !== true);

/** What a registry holds: digests by `REPOSITORY:TAG`. */
type Content = Map<string, string>;

/** The real registry, and what it holds. */
class ChangingRegistry {
  readonly content: Content = new Map();
  readonly #url: string;
  readonly #proxy: FaultProxy;
  readonly #writer: RegistryWriter;
  #version = 0;

  /** @param proxy before which it stands, which is told of changes */
  constructor(url: string, proxy: FaultProxy) {
    this.#url = url;
    this.#proxy = proxy;
    this.#writer = new RegistryWriter(url);
  }

  async push(repository: string, tag: string): Promise<void> {
    const labels = {
      'org.flatpak.ref': `app/org.example.${repository.replace('/', '.')}/x86_64/${tag}`,
      version: String(this.#version++),
    };
    const { digest } = await this.#writer.image(repository, { labels }, tag);
    this.content.set(`${repository}:${tag}`, digest);
    this.#proxy.forget(repository);
  }

  /** Pushes or deletes what chance chooses. */
  async change(random: () => number): Promise<void> {
    const repository = repositoryName(Math.floor(random() * REPOSITORIES));
    const tag = TAGS[Math.floor(random() * TAGS.length)] ?? '';
    const digest = this.content.get(`${repository}:${tag}`);
    if (digest === undefined || random() < 0.7) {
      await this.push(repository, tag);
      return;
    }
    const { statusCode, body } = await request(`${this.#url}/v2/${repository}/manifests/${digest}`, {
      method: 'DELETE',
    });
    await body.dump();
    assert.equal(statusCode, 202);
    this.content.delete(`${repository}:${tag}`);
    this.#proxy.forget(repository);
  }
}

test(
  `${SEEDS} seeds of faults: no app vanishes, and afterwards one rebuild makes all exact`,
  needs('docker-registry'),
  async (t) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-faults-'));
    await using dockerRegistry = await startDockerRegistry();
    await using proxy = await FaultProxy.start(dockerRegistry.url);
    const registry = new ChangingRegistry(dockerRegistry.url, proxy);
    await pMap(
      Array.from({ length: REPOSITORIES }, (_, number) => number),
      (number) => registry.push(repositoryName(number), TAGS[number % 2] ?? ''),
      { concurrency: 8 },
    );

    const indexes = [
      { name: 'all', tags: ['*'] },
      { name: 'stable', tags: ['stable'] },
    ];
    const definitions = indexes.map(({ name, tags }) =>
      defineIndex({ name, tags, registry: proxy.url, output: join(folder.path, `${name}.json`) }),
    );
    const open = (timeout: number, pauses: readonly number[]): Promise<RecoveringIndexer> =>
      RecoveringIndexer.open(
        {
          stateDir: folder.path,
          iconsDir: join(folder.path, 'icons'),
          iconsUri: '/icons/',
          cleanFilesAfter: 0,
          registries: [{ id: proxy.url, concurrency: 16, timeout, pauses }],
          definitions,
        },
        { onWarning: assert.fail },
      );
    /** As a restart does it, so that each seed starts from what is on disk. */
    const rebuild = async (timeout: number, pauses: readonly number[]): Promise<RebuildResult> => {
      const build = await open(timeout, pauses);
      try {
        return await build.rebuild(proxy.url, EVERYTHING);
      } finally {
        await build.close();
      }
    };
    const rebuildInPeace = async (what: string): Promise<void> => {
      proxy.heal();
      const { failures } = await rebuild(20_000, [50, 200]);
      assert.deepEqual(failures, [], what);
      for (const { name, tags } of indexes)
        assert.deepEqual(await shown(folder.path, name), taken(registry.content, tags), `${what}: index ${name}`);
    };
    await rebuildInPeace('at first');

    const played = new Map<string, number>();
    let faultyRebuilds = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = randomNumbers(seed);
      /** What the registry held whenever it was read since the last good scan. */
      const since: Content[] = [new Map(registry.content)];
      for (let round = random() < 0.15 ? 2 : 1; round > 0; round--) {
        for (let changes = Math.floor(random() * 3); changes > 0; changes--) await registry.change(random);
        since.push(new Map(registry.content));
        const rate = RATES[Math.floor(random() * RATES.length)] ?? 0;
        proxy.play({
          seed: seed * 10 + round,
          rate,
          faults: seed % SLOW_SEEDS === 0 ? Object.keys(FAULTS) : QUICK_FAULTS,
        });
        const { failures, seconds } = await rebuild(200, [2]);
        faultyRebuilds++;
        for (const { fault } of proxy.played) played.set(fault, (played.get(fault) ?? 0) + 1);
        const what = `seed ${seed}, rate ${rate}`;
        assert.ok(seconds < 30, `${what}: took ${seconds} s`);
        const all = failures.length === 0 && !proxy.played.some(({ fault }) => UNNOTICED.has(fault));
        for (const { name, tags } of indexes) {
          const now = await shown(folder.path, name);
          if (all)
            assert.deepEqual(
              now,
              taken(registry.content, tags),
              `${what}: nothing failed, and index ${name} is not exact`,
            );
          for (const key of new Set([...since, now].flatMap((content) => [...content.keys()]))) {
            const held = isTaken(key, tags) ? since.map((content) => content.get(key)) : [undefined];
            assert.ok(
              held.includes(now.get(key)),
              `${what}: index ${name} has ${now.get(key)} as ${key}, and not one of ${held.join(', ')}`,
            );
          }
        }
        if (all) since.splice(0, since.length, new Map(registry.content));
      }
      await rebuildInPeace(`after seed ${seed}`);
    }
    const names = Object.keys(FAULTS).filter((name) => !played.has(name));
    assert.deepEqual(names, [], 'faults that were never played');
    const megabytes = Math.round(process.resourceUsage().maxRSS / 1024);
    t.diagnostic(
      `${SEEDS} seeds, ${faultyRebuilds} rebuilds with ${[...played.values()].reduce((sum, times) => sum + times, 0)} faults of ${played.size} kinds, in ${megabytes} MiB of memory`,
    );
    assert.ok(megabytes < 1024);
  },
);

function repositoryName(number: number): string {
  return `apps/app-${number}`;
}

/** What an index shows. */
async function shown(folder: string, index: string): Promise<Content> {
  const { Results } = JSON.parse(await readFile(join(folder, `${index}.json`), 'utf8')) as IndexJson;
  return new Map(
    Results.flatMap(({ Name, Images }) =>
      Images.flatMap(({ Tags = [], Digest }) => Tags.map((tag): [string, string] => [`${Name}:${tag}`, Digest])),
    ),
  );
}

/** What an index with these tags takes of all there is. */
function taken(content: Content, tags: readonly string[]): Content {
  return new Map([...content].filter(([key]) => isTaken(key, tags)));
}

function isTaken(key: string, tags: readonly string[]): boolean {
  return tags.some((tag) => tag === '*' || key.endsWith(`:${tag}`));
}
