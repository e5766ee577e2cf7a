import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { takesConnections } from './answering.ts';
import { freePort } from './free-port.ts';
import { isInstalled, needs } from './installed.ts';
import { startPeer } from './peer.ts';

const answersAtOnce = async (): Promise<void> => undefined;

test('a peer that ends instead of answering fails with its log', async () => {
  const start = startPeer('broken', () => ({
    command: 'sh',
    args: ['-c', 'echo no such luck; exit 3'],
    answers: async () => assert.fail('not yet'),
  }));
  await assert.rejects(start, /broken ended with 3\. The end of its log:\nno such luck/);
});

test('the children and the folder of a peer end with it', async () => {
  await using peer = await startPeer('parent', () => ({
    command: 'sh',
    args: ['-c', 'sleep 600 & echo $!; wait'],
    answers: async (log) => assert.match(log, /^\d+\n/),
  }));
  const child = Number(peer.log);
  await peer[Symbol.asyncDispose]();
  assert.ok(!isRunning(child));
  assert.ok(!existsSync(peer.folder));
});

test('a peer whose port is taken gets another', async (t) => {
  const taken = createServer().listen(await freePort(), '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const address = taken.address();
  assert.ok(address && typeof address === 'object');
  const ports = [address.port, await freePort()];
  const script = `require('node:net').createServer().listen(process.argv[1], '127.0.0.1', () => console.log('listening'))`;
  await using peer = await startPeer('listener', () => {
    const port = ports.shift() ?? 0;
    return {
      command: process.execPath,
      args: ['-e', script, String(port)],
      port,
      answers: async (log) => {
        assert.match(log, /listening/);
        await takesConnections({ host: '127.0.0.1', port });
      },
    };
  });
  assert.notEqual(peer.program.port, address.port);
});

test('a peer sees nothing of the environment of the tests', async () => {
  await using peer = await startPeer('environment', () => ({
    command: 'sh',
    args: ['-c', 'env; echo end; sleep 600'],
    answers: async (log) => assert.match(log, /end/),
  }));
  assert.match(peer.log, new RegExp(`^HOME=${peer.folder}$`, 'm'));
  assert.doesNotMatch(peer.log, /NODE_/);
});

test('a missing program skips a test, and fails it in CI', (t) => {
  if (isInstalled('wrk')) {
    assert.deepEqual(needs('wrk'), { skip: false });
    return;
  }
  const ci = process.env['CI'];
  t.after(() => {
    if (ci === undefined) delete process.env['CI'];
    else process.env['CI'] = ci;
  });
  delete process.env['CI'];
  assert.deepEqual(needs('wrk'), { skip: 'needs wrk: apt-get install wrk' });
  process.env['CI'] = 'true';
  assert.throws(() => needs('wrk'), /apt-get install wrk/);
});

test('a stopped peer does not run', async () => {
  await using peer = await startPeer('sleeper', () => ({ command: 'sleep', args: ['600'], answers: answersAtOnce }));
  const { pid } = peer;
  assert.deepEqual(await peer.stop(), { code: null, signal: 'SIGTERM' });
  assert.ok(!isRunning(pid));
  assert.throws(() => peer.pid, /sleeper does not run/);
});

/** Returns whether a process runs; a zombie (`Z`) does not. */
function isRunning(pid: number): boolean {
  const status = `/proc/${pid}/status`;
  return existsSync(status) && !/^State:\tZ/m.test(readFileSync(status, 'utf8'));
}
