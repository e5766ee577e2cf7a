import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, utimes } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { get } from '../e2e/ask-server.ts';
import { eventually } from '../e2e/eventually.ts';
import type { SharingJson } from '../e2e/replicas.ts';
import { addRemote, installHello, runHello, update } from '../e2e/sample-user.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { bareEnvironment, startPeer } from '../peers/peer.ts';
import { commandResult, type CommandResult } from '../peers/run-command.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** A running `npm run dev`. */
interface Dev extends AsyncDisposable {
  /** What it has printed. */
  readonly log: string;
  readonly url: string;
  /** Runs another command of npm beside it, to its end. */
  npmRun(...args: readonly string[]): Promise<CommandResult>;
  /** Presses Ctrl-C, and finds out that nothing is left. */
  interrupt(): Promise<void>;
}

async function startDev(...args: readonly string[]): Promise<Dev> {
  let temporary = '';
  const peer = await startPeer('dev', async (folder) => {
    // A folder of its own: another environment of this user may run. PostgreSQL, as a user of its own, has to get through.
    temporary = join(folder, 'tmp');
    await mkdir(temporary);
    for (const path of [folder, temporary]) await chmod(path, 0o711);
    return {
      command: 'npm',
      args: ['--prefix', ROOT, 'run', 'dev', '--', ...args],
      env: { TMPDIR: temporary },
      answers: async (log) => assert.match(log, /Ctrl-C stops all/),
    };
  });
  const env = bareEnvironment(peer.folder, { TMPDIR: temporary });
  return {
    get log() {
      return peer.log;
    },
    url: /^The page +(\S+)\/$/m.exec(peer.log)?.[1] ?? assert.fail(peer.log),
    npmRun: (...command) => commandResult('npm', ['--prefix', ROOT, 'run', '-s', ...command], { env }),
    interrupt: async () => {
      // A terminal signals the whole foreground process group.
      process.kill(-peer.pid, 'SIGINT');
      await eventually(() => assert.match(peer.log, /Stopped; nothing is left\n$/));
      assert.deepEqual(await readdir(temporary), []);
      await eventually(async () => assert.deepEqual(await processesThatName(temporary), []));
    },
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}

suite(
  'npm run dev',
  needs('docker-registry', 'skopeo', 'rabbitmq-server', 'flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert'),
  () => {
    let dev: Dev;
    before(async () => {
      dev = await startDev();
    });
    after(() => dev[Symbol.asyncDispose]());

    test('its app can be installed, and updated to the version that dev:push pushes', async () => {
      await using user = await startFlatpakClient();
      await addRemote(user, dev.url);
      await installHello(user);
      await runHello(user, '1.0');
      const { code, stdout, stderr } = await dev.npmRun('dev:push', '--', 'apps/hello', '2.0');
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^Pushed 2\.0 of apps\/hello .*\nIt was in the index at .* after \d+ ms\n$/);
      await update(user);
      await runHello(user, '2.0');
    });

    test('dev:trigger starts a rebuild', async () => {
      const { code, stdout, stderr } = await dev.npmRun('dev:trigger');
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
      const { code, stderr } = await dev.npmRun('dev:trigger');
      assert.equal(code, 0, stderr);
    });

    test('a second one is refused', async () => {
      const { code, stderr } = await dev.npmRun('dev');
      assert.equal(code, 1);
      assert.match(stderr, /has an environment at .* already/);
    });

    test('Ctrl-C ends everything, and leaves nothing', async () => {
      await dev.interrupt();
      const { code, stderr } = await dev.npmRun('dev:trigger');
      assert.equal(code, 1);
      assert.match(stderr, /start one with "npm run dev"/);
    });
  },
);

test(
  'npm run dev -- --replicas has replicas with one database behind nginx',
  needs('docker-registry', 'skopeo', 'rabbitmq-server', 'postgres', 'nginx', 'flatpak', 'gcc', 'rsvg-convert'),
  async () => {
    await using dev = await startDev('--replicas', '2');
    assert.match(dev.log, /^The database +postgres:\/\//m);
    const urls = /^The replicas +(\S+), (\S+), behind nginx/m.exec(dev.log)?.slice(1) ?? assert.fail(dev.log);
    for (const url of urls)
      await eventually(async () => assert.equal((await replicasOf(url)).filter(({ leads }) => leads).length, 1));
    for (const command of ['dev:push', 'dev:trigger']) {
      const { code, stderr } = await dev.npmRun(command);
      assert.equal(code, 0, stderr);
    }
    await dev.interrupt();
  },
);

test('a number of replicas that is none is refused', async () => {
  const { code, stderr } = await commandResult(process.execPath, [join(ROOT, 'test/dev/dev.ts'), '--replicas', 'all'], {
    env: bareEnvironment('/nonexistent'),
  });
  assert.equal(code, 1);
  assert.match(stderr, /--replicas all is not a whole number from 1 to 9/);
});

/** The replicas that one of them knows. */
async function replicasOf(url: string): Promise<SharingJson['replicas']> {
  const { sharing } = JSON.parse((await get(`${url}/status`)).body.toString()) as { readonly sharing: SharingJson };
  assert.equal(sharing.replicas.length, 2);
  return sharing.replicas;
}

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
