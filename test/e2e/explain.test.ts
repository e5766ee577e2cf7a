/** Tests of `regindexer explain` and `/status/explain`: whoever is asked, and whether a service runs, answers alike. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { request } from 'undici';
import { freePort } from '../peers/free-port.ts';
import { needs } from '../peers/installed.ts';
import { runRegindexer, startRegindexer } from '../peers/regindexer.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { AUTHORIZED, settled, TOKEN } from './ask-server.ts';
import { startReplicas } from './replicas.ts';

const APP = flatpakLabels({ id: 'org.example.App' });

async function answerOf(url: string, reference: string, headers: Readonly<Record<string, string>> = AUTHORIZED) {
  const { statusCode, body } = await request(`${url}/status/explain?reference=${encodeURIComponent(reference)}`, {
    headers,
  });
  return { statusCode, body: (await body.json()) as Record<string, unknown> };
}

async function startRegistry(): Promise<LabelRegistry> {
  const registry = await LabelRegistry.start();
  registry.push('apps/one', { labels: APP });
  registry.push('apps/two', { labels: { ...APP, second: 'yes' } });
  return registry;
}

suite('an explanation', () => {
  test('is printed by the command, which asks the running service, or reads the store', async () => {
    await using registry = await startRegistry();
    const indexes = { apps: { registry: registry.url }, beta: { registry: registry.url, tags: ['beta'] } };
    await using server = await startRegindexer({
      config: { indexes, server: { port: await freePort(), admin_token: TOKEN } },
    });
    await settled(server.url);
    const run = (reference: string) => runRegindexer(['-c', join(server.folder, 'config.yaml'), 'explain', reference]);
    const expected = new RegExp(
      [
        '^apps: shows nothing',
        '  latest for amd64, app/org\\.example\\.App/x86_64/stable, sha256:[0-9a-f]{64}: not shown',
        '    With the tag latest, clients get apps/one \\(sha256:[0-9a-f]{64}\\) instead, which has the same ref and comes first; choose with repository_priority or repository_exclude\\.',
        'beta: shows nothing',
        '  indexes\\.beta\\.tags has nothing that matches latest: beta\\.\n$',
      ].join('\n'),
    );
    const answer = await answerOf(server.url, 'apps/two:latest');
    assert.equal(answer.statusCode, 200);
    assert.deepEqual(Object.keys(answer.body), ['reference', 'indexes']);
    const asked = await run('apps/two:latest');
    assert.deepEqual([asked.code, asked.stderr], [0, '']);
    assert.match(asked.stdout, expected);
    await server.stop();
    const read = await run('apps/two:latest');
    assert.deepEqual([read.code, read.stderr], [0, '']);
    assert.match(read.stdout, expected);
    assert.match((await run('apps/one')).stdout, /^apps: shows 1 of 1 images\n.*: shown\nbeta: shows nothing\n/);
    const wrong = await run('Not A Repository');
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /expected REPOSITORY or REPOSITORY:TAG, such as apps\/hello:latest\n$/);
  });

  test('is for administrators alone', async () => {
    await using registry = await startRegistry();
    const config = { indexes: { apps: { registry: registry.url } } };
    await using server = await startRegindexer({ config: { ...config, server: { port: 0, admin_token: TOKEN } } });
    await settled(server.url);
    assert.equal((await answerOf(server.url, 'apps/one', {})).statusCode, 401);
    assert.equal((await answerOf(server.url, 'apps/one', { authorization: 'Bearer wrong' })).statusCode, 401);
    assert.equal((await answerOf(server.url, '')).statusCode, 400);
    assert.match(
      String((await answerOf(server.url, 'a b')).body['message']),
      /^a b is not the name of a repository, expected REPOSITORY or REPOSITORY:TAG/,
    );
    await using open = await startRegindexer({ config: { ...config, server: { port: 0 } } });
    assert.equal((await answerOf(open.url, 'apps/one')).statusCode, 403);
  });

  test('comes from each replica, and from the command beside them', needs('postgres', 'nginx'), async () => {
    await using registry = await startRegistry();
    await using replicas = await startReplicas({
      count: 2,
      config: () => ({ indexes: { apps: { registry: registry.url } } }),
    });
    for (const { url } of replicas.all) await settled(url);
    const answers = await Promise.all(replicas.all.map(({ url }) => answerOf(url, 'apps/two')));
    assert.deepEqual(
      answers.map(({ statusCode }) => statusCode),
      [200, 200],
    );
    assert.deepEqual(answers[0]?.body, answers[1]?.body);
    const [first] = replicas.all;
    const { code, stdout } = await runRegindexer([
      '-c',
      join(first?.service.folder ?? '', 'config.yaml'),
      'explain',
      'apps/two',
    ]);
    assert.equal(code, 0);
    assert.match(stdout, /^apps: shows nothing\n.*: not shown\n {4}With the tag latest, clients get apps\/one /);
  });
});
