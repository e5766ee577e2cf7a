import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import type { RebuildResult } from '../../src/indexing/rebuild.ts';
import { Notifications } from '../../src/triggers/notifications.ts';
import { RebuildQueue } from '../../src/triggers/rebuild-queue.ts';
import { describeScope } from '../../src/triggers/rebuild-scope.ts';

/** Notifications for a queue whose rebuilds end at once. `asked` lists their scopes. */
function start(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const asked: (readonly string[])[] = [];
  const queue = new RebuildQueue({
    registries: new Map([['one', ['apps']]]),
    run: async (registry, scope): Promise<RebuildResult> => {
      asked.push(describeScope(scope).repositories);
      return { registry, seconds: 0, repositories: 0, requests: 0, newImages: 0, failures: [], indexes: [] };
    },
    logger: pino({ level: 'silent' }),
  });
  return { notifications: new Notifications(queue), queue, asked };
}

/** Lets queued rebuilds start. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a tag is read after the registry has written it, and once more; a repository at once', async (t) => {
  const { notifications, queue, asked } = start(t);
  const after = async (milliseconds: number): Promise<unknown> => {
    t.mock.timers.tick(milliseconds);
    await turn();
    return asked.splice(0);
  };
  void notifications.request({
    reason: 'notification',
    scope: [
      { kind: 'tag', repository: 'hello', tag: 'latest' },
      { kind: 'repository', repository: 'gone' },
    ],
  });
  assert.deepEqual(await after(0), [['gone']]);
  assert.deepEqual(await after(99), []);
  assert.deepEqual(await after(1), [['hello:latest']]);
  assert.deepEqual(await after(399), []);
  assert.deepEqual(await after(1), [['hello:latest']]);
  assert.deepEqual(await after(60_000), []);
  assert.deepEqual(
    queue.recent().map(({ reasons }) => reasons),
    [['notification, second look'], ['notification'], ['notification']],
  );
});

test('after stop, no tag is requested', async (t) => {
  const { notifications, queue, asked } = start(t);
  const scope = [{ kind: 'tag', repository: 'hello', tag: 'latest' }] as const;
  void notifications.request({ reason: 'notification', scope });
  notifications.stop();
  void notifications.request({ reason: 'notification', scope });
  await turn();
  await queue.close({ graceMs: 0 });
  t.mock.timers.tick(1000);
  await turn();
  assert.deepEqual(asked, []);
});
