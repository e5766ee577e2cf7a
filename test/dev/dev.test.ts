import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, utimes } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { eventually } from '../e2e/eventually.ts';
import { addRemote, installHello, runHello, update } from '../e2e/sample-user.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { bareEnvironment, startPeer, type Peer } from '../peers/peer.ts';
import { commandResult, type CommandResult } from '../peers/run-command.ts';

const ROOT = resolve(import.meta.dirname, '../..');

suite(
  'npm run dev',
  needs('docker-registry', 'skopeo', 'rabbitmq-server', 'flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert'),
  () => {
    let dev: Peer;
    let temporary: string;
    before(async () => {
      dev = await startPeer('dev', async (folder) => {
        // A folder of its own: another environment of this user may run.
        temporary = join(folder, 'tmp');
        await mkdir(temporary);
        return {
          command: 'npm',
          args: ['--prefix', ROOT, 'run', 'dev'],
          env: { TMPDIR: temporary },
          answers: async (log) => assert.match(log, /Ctrl-C stops all/),
        };
      });
    });
    after(() => dev[Symbol.asyncDispose]());

    const npmRun = (...args: readonly string[]): Promise<CommandResult> =>
      commandResult('npm', ['--prefix', ROOT, 'run', '-s', ...args], {
        env: bareEnvironment(dev.folder, { TMPDIR: temporary }),
      });
    const url = (): string => /^The page +(\S+)\/$/m.exec(dev.log)?.[1] ?? assert.fail(dev.log);

    test('its app can be installed, and updated to the version that dev:push pushes', async () => {
      await using user = await startFlatpakClient();
      await addRemote(user, url());
      await installHello(user);
      await runHello(user, '1.0');
      const { code, stdout, stderr } = await npmRun('dev:push', '--', 'apps/hello', '2.0');
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^Pushed 2\.0 of apps\/hello .*\nIt was in the index at .* after \d+ ms\n$/);
      await update(user);
      await runHello(user, '2.0');
    });

    test('dev:trigger starts a rebuild', async () => {
      const { code, stdout, stderr } = await npmRun('dev:trigger');
      assert.equal(code, 0, stderr);
      assert.match(
        stdout,
        /^Published \/topic\/org\.fedoraproject\.dev\.bodhi\.compose\.complete\nThe rebuild \S+ is done\n$/,
      );
    });

    test('a change of the sources restarts the service', async () => {
      const now = new Date();
      await utimes(join(ROOT, 'src/system/version.ts'), now, now);
      await eventually(() => assert.match(dev.log, /version\.ts has changed.*\nServing again at /s));
      const { code, stderr } = await npmRun('dev:trigger');
      assert.equal(code, 0, stderr);
    });

    test('a second one is refused', async () => {
      const { code, stderr } = await npmRun('dev');
      assert.equal(code, 1);
      assert.match(stderr, /has an environment at .* already/);
    });

    test('Ctrl-C ends everything, and leaves nothing', async () => {
      // A terminal signals the whole foreground process group.
      process.kill(-dev.pid, 'SIGINT');
      await eventually(() => assert.match(dev.log, /Stopped; nothing is left\n$/));
      assert.deepEqual(await readdir(temporary), []);
      await eventually(async () => assert.deepEqual(await processesThatName(temporary), []));
      const { code, stderr } = await npmRun('dev:trigger');
      assert.equal(code, 1);
      assert.match(stderr, /start one with "npm run dev"/);
    });
  },
);

/** Finds processes with `text` in their command line or environment. */
async function processesThatName(text: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [command, environment] = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
    );
    if (`${command}${environment}`.includes(text)) found.push(`${pid} ${command}`);
  }
  return found;
}
