/** Replicas whose database is behind PgBouncer, which passes no notifications on. */
import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { request } from 'undici';
import { needs } from '../peers/installed.ts';
import { startPgbouncer, type Pgbouncer } from '../peers/pgbouncer.ts';
import { startPostgresql } from '../peers/postgresql.ts';
import { writeLayout } from '../registry/layout/write-layout.ts';
import { get, indexOf, reindex, requestRebuild } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { isReady, leaderOf, sharingOf, startReplica, type TestReplica } from './replicas.ts';

const POLLS = /the database passes no notifications on \(as PgBouncer in transaction mode\)/g;

suite('replicas behind PgBouncer in transaction mode', needs('postgres', 'pgbouncer'), () => {
  const resources = new AsyncDisposableStack();
  let pgbouncer: Pgbouncer;
  let replicas: readonly TestReplica[];
  let layouts: string;
  let pushed = 0;
  before(async () => {
    layouts = resources.use(await mkdtempDisposable(join(tmpdir(), 'regindexer-pgbouncer-'))).path;
    await push();
    const database = resources.use(await startPostgresql());
    const connection = await database.createDatabase();
    pgbouncer = resources.use(await startPgbouncer(connection));
    const config = { indexes: { apps: { registry: `oci:${layouts}` } }, rescan_interval: 0 };
    replicas = await Promise.all(
      [1, 2].map(async () => resources.use(await startReplica(pgbouncer.through(connection), config))),
    );
    for (const replica of replicas) await eventually(() => isReady(replica));
  });
  after(() => resources.disposeAsync());

  const push = async (): Promise<string> => {
    const name = `app-${pushed++}`;
    const labels = { 'org.flatpak.ref': `app/org.example.${name}/x86_64/stable` };
    await writeLayout(join(layouts, name), [{ tag: 'latest', labels }]);
    return name;
  };
  const others = async (): Promise<readonly [leader: TestReplica, follower: TestReplica]> => {
    const leader = await leaderOf(replicas);
    return [leader, replicas.find((replica) => replica !== leader) ?? assert.fail()];
  };
  const polls = (): Promise<void> =>
    eventually(() => {
      for (const { service } of replicas) assert.equal(service.log.match(POLLS)?.length, 1);
    });

  test('they say once that they poll, and all serve what one has rebuilt', async () => {
    await polls();
    for (const { url } of replicas) {
      const name = await push();
      await reindex(url);
      for (const each of replicas) assert.ok((await repositoriesOf(each)).includes(name));
    }
    assert.deepEqual(...(await answersOf(replicas)));
  });

  test('one that has not polled yet leads no client back', async () => {
    const path = '/index/static?tag=latest&architecture=amd64&label:org.flatpak.ref:exists=1';
    const [leader, follower] = await others();
    for (let round = 0; round < 3; round++) {
      const name = await push();
      assert.equal((await requestRebuild(leader.url)).statusCode, 202);
      const { etag } = await eventually(async () => {
        const answer = await get(`${leader.url}${path}`);
        assert.ok(answer.body.includes(`${name}/`));
        return answer;
      });
      const { statusCode, headers, body } = await request(`${follower.url}${path}`, {
        headers: { 'if-none-match': etag },
      });
      await body.dump();
      assert.deepEqual([statusCode, headers.etag], [304, etag]);
    }
  });

  test('another one leads when the leader is killed, and they go on when PgBouncer was restarted', async () => {
    const [leader, follower] = await others();
    await leader.service.kill();
    assert.equal(await leaderOf([follower]), follower);
    await leader.service.start();
    await eventually(() => isReady(leader));

    await pgbouncer.stop();
    for (const replica of replicas)
      await eventually(async () => assert.equal((await sharingOf(replica)).database.available, false));
    await pgbouncer.start();
    for (const replica of replicas)
      await eventually(async () => assert.equal((await sharingOf(replica)).database.available, true));
    const name = await push();
    await leaderOf(replicas);
    await reindex(leader.url);
    for (const replica of replicas) assert.ok((await repositoriesOf(replica)).includes(name));
    // The one that was killed had said it before.
    await eventually(() => assert.equal(leader.service.logSinceStart.match(POLLS)?.length, 1));
    assert.equal(follower.service.log.match(POLLS)?.length, 1);
  });
});

/** The names of the repositories in the index. */
async function repositoriesOf({ url }: TestReplica): Promise<readonly string[]> {
  return (await indexOf(url)).Results.map(({ Name }) => Name);
}

async function answersOf([first, second]: readonly TestReplica[]): Promise<[object, object]> {
  assert.ok(first !== undefined && second !== undefined);
  return [await get(`${first.url}/index/apps.json`), await get(`${second.url}/index/apps.json`)];
}
