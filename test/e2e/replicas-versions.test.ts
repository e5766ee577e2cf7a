/** Replicas beside a newer and an older version of the program, which the test plays. */
import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { ClientConfig } from 'pg';
import { RecoveringIndexer } from '../../src/app/recovering-indexer.ts';
import { FORMAT, FORMAT_NUMBER, formatOf } from '../../src/indexing/chunk/part.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';
import { type HeldLease, Leadership } from '../../src/store/postgres/lease.ts';
import { PostgresDatabase } from '../../src/store/postgres/postgres-database.ts';
import { Replicas } from '../../src/store/postgres/replicas.ts';
import { defineIndex } from '../indexing/test-state.ts';
import { needs } from '../peers/installed.ts';
import { writeLayout } from '../registry/layout/write-layout.ts';
import { run } from '../store/postgres/database.ts';
import { get, indexOf, reindex } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { isReady, leaderOf, sharingOf, startReplicas, type TestReplica, type TestReplicas } from './replicas.ts';

const NEWER = formatOf(FORMAT_NUMBER + 1);
const OLDER = formatOf(FORMAT_NUMBER - 1);

suite('replicas of different versions', needs('postgres', 'nginx'), () => {
  const resources = new AsyncDisposableStack();
  let replicas: TestReplicas;
  let layouts: string;
  before(async () => {
    layouts = resources.use(await mkdtempDisposable(join(tmpdir(), 'regindexer-versions-'))).path;
    await add('first');
    replicas = resources.use(
      await startReplicas({ count: 2, config: () => ({ indexes: { apps: { registry: `oci:${layouts}` } } }) }),
    );
  });
  after(() => resources.disposeAsync());

  const add = async (name: string): Promise<void> => {
    const labels = { 'org.flatpak.ref': `app/org.example.${name}/x86_64/stable` };
    await writeLayout(join(layouts, name), [{ tag: 'latest', labels }]);
  };
  const formats = async (): Promise<Readonly<Record<string, boolean>>> => {
    const rows = await run<{ format: string; unread: boolean }>(
      replicas.connection,
      'SELECT format, unread_since IS NOT NULL AS unread FROM publication',
    );
    return Object.fromEntries(rows.map(({ format, unread }) => [format, unread]));
  };

  test('while a newer one lives, it leads, and the others serve what they read', async () => {
    await using newer = new OtherVersion(replicas.connection, FORMAT_NUMBER + 1);
    const served = await get(`${replicas.url}/index/apps.json`);
    await newer.leads();
    for (const replica of replicas.all) {
      await eventually(async () => {
        const { replicas: all } = await sharingOf(replica);
        const leading = all.filter(({ leads }) => leads);
        assert.deepEqual(
          leading.map(({ name, version }) => [name, version]),
          [['other', `${FORMAT_NUMBER + 1}.0.0`]],
        );
        assert.match(
          replica.service.log,
          new RegExp(
            `different versions or configurations, of which the newest leads: .*other \\(${FORMAT_NUMBER + 1}\\.0\\.0, configuration .*; this replica may not lead`,
          ),
        );
      });
    }
    const [first = assert.fail(), second = assert.fail()] = replicas.all;
    await first.service.stop();
    await second.service.stop();
    await add('second');
    await newer.publish(layouts);
    await first.service.start();
    await second.service.start();
    for (const replica of replicas.all) {
      await eventually(() => isReady(replica));
      assert.deepEqual(await get(`${replica.url}/index/apps.json`), served);
    }
    assert.deepEqual(await formats(), { [FORMAT]: false, [NEWER]: false });
  });

  test('once the newer one is gone they lead again, show what it showed, and keep what it published for a day', async () => {
    await leaderOf(replicas.all);
    for (const { url } of replicas.all)
      await eventually(async () => assert.deepEqual(await shows(url), ['first', 'second']));
    await eventually(async () => assert.deepEqual(await formats(), { [FORMAT]: false, [NEWER]: true }));
    const again = await leadAgain(replicas);
    await reindex(again.url);
    assert.deepEqual(await formats(), { [FORMAT]: false, [NEWER]: true });

    await run(replicas.connection, 'UPDATE publication SET unread_since = unread_since - 86400000');
    await leadAgain(replicas);
    await eventually(async () => assert.deepEqual(await formats(), { [FORMAT]: false }));
  });

  test('what an older one reads stays while it lives', async () => {
    await run(
      replicas.connection,
      `INSERT INTO publication ("index", format, version, registry, modified, chunks, origin, checksum)
       SELECT "index", '${OLDER}', version - 1, registry, modified, chunks, origin, checksum FROM publication`,
    );
    {
      await using older = new OtherVersion(replicas.connection, FORMAT_NUMBER - 1);
      await older.lives();
      await eventually(async () => {
        const { replicas: all } = await sharingOf(await leaderOf(replicas.all));
        assert.ok(all.some(({ name }) => name === 'other'));
      });
      await leadAgain(replicas);
      assert.deepEqual(await formats(), { [FORMAT]: false, [OLDER]: false });
    }
    await eventually(async () => assert.deepEqual(await formats(), { [FORMAT]: false, [OLDER]: true }));
  });

  test('when a newer one has changed the tables, they go on serving, and lead no more', async () => {
    const [running = assert.fail(), restarted = assert.fail()] = replicas.all;
    await restarted.service.stop();
    const served = await get(`${running.url}/index/apps.json`);
    const [row] = await run<{ version: number }>(replicas.connection, 'SELECT version FROM schema_version');
    await run(replicas.connection, 'UPDATE schema_version SET version = 99');
    await eventually(() =>
      assert.match(
        running.service.log,
        /a newer version of this program has changed the tables of the database; this replica may not lead/,
      ),
    );
    await eventually(async () => {
      const { replicas: all } = await sharingOf(running);
      assert.deepEqual(
        all.filter(({ leads }) => leads),
        [],
      );
    });
    assert.deepEqual(await get(`${running.url}/index/apps.json`), served);
    await isReady(running);

    await assert.rejects(
      restarted.service.start(),
      /ended with 1\. .*\n(?:.*\n)*.*has tables of a newer version of this program: run that version, or use another database/,
    );
    await run(replicas.connection, 'UPDATE schema_version SET version = $1', [row?.version]);
    await restarted.service.start();
    await leaderOf(replicas.all);
  });
});

/** Stops the leader, waits until another one leads, and starts it again; returns the new leader. */
async function leadAgain(replicas: TestReplicas): Promise<TestReplica> {
  const leader = await leaderOf(replicas.all);
  await leader.service.stop();
  const next = await replicas.leader(leader);
  await leader.service.start();
  await eventually(() => isReady(leader));
  await reindex(next.url);
  return next;
}

/** A replica of another version, as far as it can be seen in the database. */
class OtherVersion implements AsyncDisposable {
  readonly #connection: ClientConfig;
  readonly #database: PostgresDatabase;
  readonly #replicas: Replicas;
  readonly #leadership: Leadership;
  readonly #beating: NodeJS.Timeout;

  constructor(connection: ClientConfig, format: number) {
    const id = `other of format ${format}`;
    this.#connection = connection;
    this.#database = new PostgresDatabase(connection);
    this.#replicas = new Replicas(this.#database, { id, name: 'other', version: `${format}.0.0`, format });
    this.#leadership = new Leadership({ connection, holder: id, onAcquired: () => {}, onLost: () => {} });
    this.#beating = setInterval(() => void this.lives(), 1_000);
  }

  async lives(): Promise<void> {
    await this.#replicas.beat({ configuration: 'another', shown: {} });
  }

  async leads(): Promise<HeldLease> {
    await this.lives();
    this.#leadership.start();
    return eventually(() => this.#leadership.lease ?? assert.fail('it does not lead yet'));
  }

  /**
   * Brings the index up to date in the newer format: what it publishes in the current one, while nobody looks, is
   * renamed.
   */
  async publish(layouts: string): Promise<void> {
    const { host = '', port = 0, user = '', database = '' } = this.#connection;
    const url = `postgres://${user}@${host}:${port}/${database}`;
    await run(this.#connection, 'CREATE TABLE kept AS SELECT * FROM publication');
    const registry = `oci:${layouts}`;
    const indexer = await RecoveringIndexer.open(
      {
        stateDir: '/nowhere',
        iconsDir: undefined,
        iconsUri: '/icons/',
        cleanFilesAfter: 1_000,
        registries: [{ id: registry, concurrency: 1, timeout: 1_000 }],
        definitions: [defineIndex({ name: 'apps', registry })],
        database: { store: { url, password: undefined }, lease: await this.leads() },
      },
      { onWarning: assert.fail },
    );
    await indexer.rebuild(registry, EVERYTHING);
    await indexer.close();
    await run(
      this.#connection,
      `DELETE FROM apps; UPDATE publication SET format = '${NEWER}'; INSERT INTO publication SELECT * FROM kept; DROP TABLE kept`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beating);
    await this.#leadership.stop();
    await this.#replicas.leave();
    await this.#database.close();
  }
}

/** The repositories of the index. */
async function shows(url: string): Promise<readonly string[]> {
  return (await indexOf(url)).Results.map(({ Name }) => Name);
}
