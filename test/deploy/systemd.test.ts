import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { suite, test } from 'node:test';
import { needs } from '../peers/installed.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { runRegindexer } from '../peers/regindexer.ts';
import { runCommand } from '../peers/run-command.ts';

const UNIT = resolve(import.meta.dirname, '../../deploy/systemd/regindexer.service');

suite('the systemd unit', () => {
  test('is well formed', needs('systemd-analyze'), async () => {
    await runCommand('systemd-analyze', ['verify', UNIT], { env: bareEnvironment('/nonexistent') });
  });

  test('exposes little: less than 2.5 of 10', needs('systemd-analyze'), async (t) => {
    const table = await runCommand(
      'systemd-analyze',
      ['security', '--offline=true', '--threshold=25', '--no-pager', UNIT],
      { env: bareEnvironment('/nonexistent') },
    );
    t.diagnostic(/Overall exposure level.*/.exec(table)?.[0] ?? '');
  });

  test('names the lines that the configuration needs', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-systemd-'));
    const [, needed = ''] = /needs these lines.*\n#\n((?:# {3}.*\n)+)/.exec(await readFile(UNIT, 'utf8')) ?? [];
    const config = join(folder.path, 'config.yaml');
    await writeFile(
      config,
      `${needed.replace(/^# {3}/gm, '').replace('/var/lib', '${CREDENTIALS_DIRECTORY}/var/lib')}indexes: {apps: {registry: https://registry.example.org}}\n`,
    );
    for (const name of ['admin-token', 'events-token']) await writeFile(join(folder.path, name), '0123456789abcdef\n');
    const { code, stdout, stderr } = await runRegindexer(['-c', config, 'check'], {
      CREDENTIALS_DIRECTORY: folder.path,
    });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /\/var\/lib\/regindexer/);
  });
});
