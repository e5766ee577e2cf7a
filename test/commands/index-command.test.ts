/** Tests of `regindexer index` as a program. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtempDisposable, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { writeIndex, writeLayout } from '../registry/layout/write-layout.ts';
import { playRegistry } from '../registry/http/play-registry.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { commandResult, commandResultOnTerminal, runCommand } from '../peers/run-command.ts';

const CLI = resolve(import.meta.dirname, '../../src/cli.ts');

test('an error in the rebuild of one registry ends the command, on a terminal too, and the next run continues', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-index-'));
  const config = join(folder.path, 'config.yaml');
  await cp(SAMPLE_IMAGES, join(folder.path, 'other'), { recursive: true });
  await writeFile(
    config,
    stringify({
      state_dir: './state',
      icons_dir: './icons',
      indexes: { one: { registry: `oci:${SAMPLE_IMAGES}` }, two: { registry: 'oci:other' } },
    }),
  );
  // A folder cannot be removed as an unused icon.
  const gone = join(folder.path, 'icons/00', `${'0'.repeat(62)}.png`);
  await mkdir(gone, { recursive: true });
  await utimes(gone, new Date(0), new Date(0));
  const env = bareEnvironment(folder.path);
  const { code, stdout } = await commandResultOnTerminal(process.execPath, [CLI, '-c', config, 'index'], { env });
  assert.equal(code, 1, stdout);
  assert.ok(stdout.includes(gone), stdout);
  await runCommand('rmdir', [gone], { env });
  const printed = await runCommand(process.execPath, [CLI, '-c', config, 'index'], { env });
  assert.match(printed, /^one: 3 images, [^]*^two: 3 images, /m);
});

/** Describes an image of an app, with the app's id as its tag. */
function appImage(id: string, version: string) {
  return {
    tag: id,
    labels: {
      'org.flatpak.ref': `app/org.example.${id}/x86_64/stable`,
      'org.flatpak.metadata': `[Application]\nname=org.example.${id}\n# ${version}`,
    },
  };
}

test('it prints which apps were added, updated and removed', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-index-'));
  const [config, app] = [join(folder.path, 'config.yaml'), join(folder.path, 'images/app')];
  await writeFile(config, stringify({ state_dir: './state', indexes: { apps: { registry: 'oci:images' } } }));
  const run = async (): Promise<string> => {
    const printed = await runCommand(process.execPath, [CLI, '-c', config, 'index'], {
      env: bareEnvironment(folder.path),
    });
    return printed.replace(/\d+ bytes/, 'B').replace(/[\d.]+ s$/m, 'S');
  };
  await writeLayout(
    app,
    ['A', 'B', 'C', 'D', 'E'].map((id) => appImage(id, '1')),
  );
  assert.equal(
    await run(),
    'apps: 5 images, B, changed, S\n  added: org.example.A, org.example.B, org.example.C and 2 more\n',
  );
  await writeLayout(app, [...['A', 'B', 'C'].map((id) => appImage(id, '1')), appImage('D', '2'), appImage('F', '1')]);
  assert.equal(
    await run(),
    'apps: 5 images, B, changed, S\n  added: org.example.F\n  updated: org.example.D\n  removed: org.example.E\n',
  );
  assert.equal(await run(), 'apps: 5 images, B, unchanged, S\n');
});

test('an index that could not be made yet is printed as such', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-index-'));
  const config = join(folder.path, 'config.yaml');
  await writeFile(config, stringify({ state_dir: './state', indexes: { apps: { registry: 'oci:nowhere' } } }));
  const { code, stdout, stderr } = await commandResult(process.execPath, [CLI, '-c', config, 'index'], {
    env: bareEnvironment(folder.path),
  });
  assert.deepEqual([code, stdout.replace(/[\d.]+ s/, '')], [1, 'apps: 0 images, 0 bytes, not made yet, \n']);
  assert.match(stderr, /"partly read oci:/);
});

test('a large loss is accepted by the second run that finds it, or at once with --accept-losses', async () => {
  for (const [runs, ...args] of [[2], [1, '--accept-losses']] as const) {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-index-'));
    const [config, images] = [join(folder.path, 'config.yaml'), join(folder.path, 'images')];
    await writeFile(config, stringify({ state_dir: './state', indexes: { apps: { registry: 'oci:images' } } }));
    const run = (...more: readonly string[]) =>
      commandResult(process.execPath, [CLI, '-c', config, 'index', ...more], { env: bareEnvironment(folder.path) });
    await writeLayout(
      join(images, 'app'),
      Array.from({ length: 30 }, (_, tag) => ({ tag: `v${tag}`, labels: { tag: String(tag) } })),
    );
    assert.match((await run()).stdout, /^apps: 30 images, /);
    await writeIndex(join(images, 'app'), []);
    for (let held = 1; held < runs; held++) {
      const { code, stdout, stderr } = await run();
      assert.deepEqual([code, /^apps: (\d+) images, /.exec(stdout)?.[1]], [1, '30'], stderr);
      assert.match(
        stderr,
        /the registry says that 30 of its 30 images are gone, .*to remove them now, .* run regindexer index --accept-losses/,
      );
    }
    const { code, stdout } = await run(...args);
    assert.deepEqual([code, /^apps: (\d+) images, /.exec(stdout)?.[1]], [0, '0']);
  }
});

test('each request is logged with -v', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-index-'));
  const config = join(folder.path, 'config.yaml');
  const { url } = await playRegistry(
    t,
    ({ url: path }, response) =>
      void (path.startsWith('/v2/_catalog')
        ? response.end('{"repositories": ["app"]}')
        : response.writeHead(404).end('{}')),
  );
  await writeFile(config, stringify({ state_dir: './state', indexes: { apps: { registry: url } } }));
  const requests = async (...args: string[]): Promise<readonly object[]> => {
    const { stderr } = await commandResult(process.execPath, [CLI, '-c', config, ...args, 'index'], {
      env: bareEnvironment(folder.path),
    });
    const lines = stderr
      .trim()
      .split('\n')
      .map(
        (line) =>
          JSON.parse(line) as { level: string; method?: string; url?: string; status?: number; seconds?: number },
      );
    return lines
      .filter(({ method }) => method !== undefined)
      .map(({ level, method, url: asked, status, seconds }) => ({
        level,
        method,
        asked,
        status,
        timed: seconds !== undefined,
      }));
  };
  assert.deepEqual(await requests('-v'), [
    { level: 'debug', method: 'GET', asked: `${url}/v2/_catalog`, status: 200, timed: true },
    { level: 'debug', method: 'GET', asked: `${url}/v2/app/tags/list`, status: 404, timed: true },
  ]);
  assert.deepEqual(await requests(), []);
});

test('on a terminal it restores the cursor when it is interrupted', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-index-'));
  const [config, pid] = [join(folder.path, 'config.yaml'), join(folder.path, 'pid')];
  const { url } = await playRegistry(t, () => process.kill(Number(readFileSync(pid, 'utf8')), 'SIGINT'));
  await writeFile(config, stringify({ state_dir: './state', indexes: { apps: { registry: url } } }));
  const { code, stdout } = await commandResultOnTerminal(
    'sh',
    ['-c', 'echo $$ > "$0"; exec "$@"', pid, process.execPath, CLI, '-c', config, 'index'],
    { env: bareEnvironment(folder.path) },
  );
  assert.equal(code, 130);
  assert.match(stdout, /stopping; nothing is lost: the next run continues from here/);
  assert.ok(
    stdout.lastIndexOf('\u001B[?25h') > stdout.lastIndexOf('\u001B[?25l') && stdout.includes('\u001B[?25l'),
    JSON.stringify(stdout.slice(-200)),
  );
});

test('after a signal its state is intact, and its status is that of the signal', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-index-'));
  const config = join(folder.path, 'config.yaml');
  const images = join(folder.path, 'images');
  await cp(SAMPLE_IMAGES, images, { recursive: true });
  await writeFile(config, stringify({ state_dir: './state', indexes: { apps: { registry: 'oci:images' } } }));
  await runCommand(process.execPath, [CLI, '-c', config, 'index'], { env: bareEnvironment(folder.path) });

  const child = { pid: 0 };
  // The registry never answers.
  const { url } = await playRegistry(t, () => process.kill(child.pid, 'SIGTERM'));
  await writeFile(
    config,
    stringify({ state_dir: './state', indexes: { apps: { registry: 'oci:images' }, others: { registry: url } } }),
  );
  const { code, signal, stderr } = await new Promise<{ code: number | null; signal: string | null; stderr: string }>(
    (ended) => {
      const running = spawn(process.execPath, [CLI, '-c', config, 'index'], {
        env: bareEnvironment(folder.path),
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      child.pid = running.pid ?? 0;
      let said = '';
      running.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
      running.on('close', (its, by) => ended({ code: its, signal: by, stderr: said }));
    },
  );
  assert.deepEqual([code, signal], [null, 'SIGTERM']);
  assert.match(stderr, /"level":"warn".*"stopping; nothing is lost: /);
  assert.deepEqual(
    readdirSync(join(folder.path, 'state')).filter((name) => name === 'lock.holder'),
    [],
  );
  await writeFile(config, stringify({ state_dir: './state', indexes: { apps: { registry: 'oci:images' } } }));
  assert.match(
    await runCommand(process.execPath, [CLI, '-c', config, 'index'], { env: bareEnvironment(folder.path) }),
    /^apps: 3 images, \d+ bytes, unchanged, /m,
  );
});

test('numbers of one are in the singular, and an unknown time is called unknown', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-index-'));
  const config = join(folder.path, 'config.yaml');
  await cp(join(SAMPLE_IMAGES, 'apps/clock'), join(folder.path, 'images/clock'), { recursive: true });
  await writeFile(config, stringify({ state_dir: './state', indexes: { apps: { registry: 'oci:images' } } }));
  const { stdout } = await commandResultOnTerminal(process.execPath, [CLI, '-c', config, 'index'], {
    env: { ...bareEnvironment(folder.path), COLUMNS: '160' },
  });
  assert.match(stdout, /│ 1 of 1 repositories │ 1 new image │ 0 requests │ /);
  assert.match(stdout, /-{40} 0 % │ 0 of 0 repositories │ 0 new images │ 0 requests │ time left unknown/);
  assert.doesNotMatch(stdout, /NFs|LLs|Infinity|NaN/);
  assert.match(stdout, /^apps: 1 image, \d+ bytes, changed, /m);
});

test('a closed output does not end it, and other write errors are printed', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-index-'));
  const config = join(folder.path, 'config.yaml');
  await writeFile(config, stringify({ state_dir: './state', indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}` } } }));
  const run = (line: string, command: string) =>
    commandResult('bash', ['-c', line, 'bash', process.execPath, CLI, '-c', config, command], {
      env: bareEnvironment(folder.path),
    });
  for (const command of ['index', 'check', '--help']) {
    const { code, stderr } = await run('"$@" > >(:)', command);
    assert.deepEqual([code, /Error|EPIPE/.test(stderr)], [0, false], `${command}: ${stderr}`);
  }
  const { code, stderr } = await run('"$@" > /dev/full', 'index');
  assert.equal(code, 1);
  assert.match(stderr, /^regindexer: cannot write to the standard output: ENOSPC/m);
});
