import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import type { RebuildResult } from '../../src/indexing/rebuild.ts';
import { Notifications } from '../../src/triggers/notifications.ts';
import { RebuildQueue } from '../../src/triggers/rebuild-queue.ts';
import { describeScope } from '../../src/triggers/rebuild-scope.ts';

/** Notifications for a queue whose rebuilds end at once; `asked` is what they read. */
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

/** Lets what was queued start. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a tag is looked at at once, and half a second later once more', async (t) => {
  const { notifications, queue, asked } = start(t);
  notifications.request({ reason: 'notification', scope: [{ kind: 'tag', repository: 'hello', tag: 'latest' }, { kind: 'repository', repository: 'gone' }] });
  await turn();
  assert.deepEqual(asked, [['hello:latest', 'gone']]);
  t.mock.timers.tick(499);
  await turn();
  assert.equal(asked.length, 1);
  t.mock.timers.tick(1);
  await turn();
  assert.deepEqual(asked.slice(1), [['hello:latest']]);
  assert.deepEqual(queue.recent()[0]?.reasons, ['notification, second look']);
  t.mock.timers.tick(60_000);
  await turn();
  assert.equal(asked.length, 2);
});

test('once stopped it asks for nothing of its own', async (t) => {
  const { notifications, queue, asked } = start(t);
  const scope = [{ kind: 'tag', repository: 'hello', tag: 'latest' }] as const;
  notifications.request({ reason: 'notification', scope });
  notifications.stop();
  notifications.request({ reason: 'notification', scope });
  await turn();
  await queue.close({ graceMs: 0 });
  t.mock.timers.tick(1000);
  await turn();
  assert.equal(asked.length, 1);
});
