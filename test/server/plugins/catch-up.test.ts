import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestState } from '../../indexing/test-state.ts';
import { flatpakLabels } from '../../sources/flatpak-labels.ts';
import { randomIcon } from '../../sources/random-images.ts';
import { TestServer } from '../test-server.ts';

const ID = 'org.example.Clock';
const PATHS = [
  '/',
  '/index/apps-file.json',
  '/index/static?tag=latest',
  '/index/dynamic?tag=latest',
  '/apps/index/static?tag=latest',
  '/api/apps',
  `/api/apps/${ID}`,
  `/api/apps/${ID}/icon`,
  `/apps/${ID}.flatpakref`,
];
const DESCRIPTION = { name: 'apps', title: 'Apps', remoteName: 'apps', signatures: false };

test('what another replica has published is loaded before a client is answered that may have it', async (t) => {
  for (const path of PATHS) {
    const state = await TestState.open(t);
    const push = async (name: string): Promise<void> => {
      state.registry.pushImage('apps/clock', 'latest', {
        labels: flatpakLabels({ id: ID, name, summary: name, icon: randomIcon(name, 100), branch: name }),
      });
      await state.rebuild();
    };
    const server: TestServer = await TestServer.create(t, state, {
      description: { baseUrl: 'http://apps.example', indexes: [DESCRIPTION] },
      sharing: { catchUp: () => server.publish(), state: () => assert.fail() },
    });
    await push('old');
    await server.publish();
    const ask = async (headers: Readonly<Record<string, string>> = {}): Promise<string | undefined> => {
      const { statusCode, headers: received } = await server.fastify.inject({ url: path, headers });
      assert.equal(statusCode, 200, path);
      return received.etag;
    };
    const etag = await ask();
    await push('new');
    assert.equal(await ask(), etag, path);
    assert.notEqual(await ask({ 'if-none-match': '"from another replica"' }), etag, path);
  }
});
