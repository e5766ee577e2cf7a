/** Messages to users of an old Node.js. */
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import own from '../../package.json' with { type: 'json' };
import { bareEnvironment } from '../peers/peer.ts';
import { commandResult } from '../peers/run-command.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** Returns a module that sets the version that the process reports. */
function versionIs(version: string): string {
  return `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'${version}'}})`;
}

test('both programs say which Node.js is needed if it is too old', async () => {
  const needed = own.engines.node.replace('>=', '');
  for (const program of ['cli', 'daemon']) {
    const run = (version: string) =>
      commandResult(
        process.execPath,
        ['--import', versionIs(version), join(ROOT, 'src', `${program}.ts`), '--version'],
        { env: bareEnvironment(ROOT) },
      );
    for (const version of ['20.20.2', '24.10.0']) {
      const { code, stdout, stderr } = await run(version);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, new RegExp(`^regindexer: Node\\.js ${needed} or newer is needed, but this is ${version}: `));
    }
    for (const version of [`${needed}.0`, '25.0.0']) assert.equal((await run(version)).stdout, `${own.version}\n`);
  }
});

test('the tests say which Node.js is needed if it is too old', async () => {
  for (const [version, status, said] of [
    ['20.20.2', 1, /^tests need Node\.js 24\.11 or newer, but this is 20\.20\.2: run them with npm test/],
    ['24.11.0', 0, /^$/],
  ] as const) {
    const { code, stderr } = await commandResult(
      process.execPath,
      ['--import', versionIs(version), join(ROOT, 'test/node-version.js')],
      { env: bareEnvironment(ROOT) },
    );
    assert.equal(code, status);
    assert.match(stderr, said);
  }
});
