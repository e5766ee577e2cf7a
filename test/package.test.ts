import assert from 'node:assert/strict';
import { mkdtempDisposable, readdir, readFile, writeFile, type DisposableTempDir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { stringify } from 'yaml';
import { version } from '../src/system/version.ts';
import { get, settled } from './e2e/ask-server.ts';
import { SAMPLE_IMAGES } from './fixtures/samples.ts';
import { bareEnvironment, startPeer } from './peers/peer.ts';
import { commandResult, runCommand } from './peers/run-command.ts';

const ROOT = resolve(import.meta.dirname, '..');
const PACKED =
  /^(LICENSE|README\.md|package\.json|config\.yaml|docs\/\w+\.md|public\/[\w.-]+|deploy\/\w+\/(regindexer|replicas)\.\w+|dist\/.+(?<!\.test)\.(js|d\.ts))$/;

/** The URL in the first log line of the server. */
const URL_IN_LOG = /(?<="url":")[^"]+/;

/** What `npm pack --json` says. */
interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

test('no dependency runs a script when it is installed, but those that are allowed to by name', async () => {
  const [lock, own] = (await Promise.all(
    ['package-lock.json', 'package.json'].map(
      async (name) => JSON.parse(await readFile(join(ROOT, name), 'utf8')) as unknown,
    ),
  )) as [
    { readonly packages: Readonly<Record<string, { readonly hasInstallScript?: boolean }>> },
    { readonly allowScripts: Readonly<Record<string, boolean>> },
  ];
  const running = Object.entries(lock.packages).flatMap(([path, { hasInstallScript }]) =>
    hasInstallScript ? [path.replace(/^.*node_modules\//, '')] : [],
  );
  assert.deepEqual(running, Object.keys(own.allowScripts));
});

suite('the package, installed from its tarball', () => {
  let folder: DisposableTempDir;
  let packed: Packed;
  const PATH = `${dirname(process.execPath)}:${process.env['PATH']}`;
  const env = (): Record<string, string> => bareEnvironment(folder.path, { PATH });
  /** With the cache and the settings of who runs the tests, but not as part of what npm runs already. */
  const npm = (args: readonly string[], cwd: string): Promise<string> => {
    const own = Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined || /^(NODE_TEST|npm_(lifecycle|package|config_local_prefix))/.test(name)
        ? []
        : [[name, value] as const],
    );
    return runCommand('npm', args, { cwd, env: { ...Object.fromEntries(own), PATH } });
  };
  const bin = (name: string): string => join(folder.path, 'node_modules/.bin', name);
  const file = (name: string): string => join(folder.path, name);
  before(async () => {
    folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-package-'));
    const [only] = JSON.parse(await npm(['pack', '--json', '--pack-destination', folder.path], ROOT)) as Packed[];
    packed = only ?? assert.fail('npm packed nothing');
    await writeFile(file('package.json'), '{"name": "elsewhere", "private": true, "type": "module"}');
    await npm(['install', '--prefer-offline', '--no-audit', '--no-fund', file(packed.filename)], folder.path);
    await writeFile(
      file('config.yaml'),
      stringify({ indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}`, extract_icons: true } }, server: { port: 0 } }),
    );
  });
  after(() => folder.remove());

  test('holds what is needed and nothing else', () => {
    const paths = packed.files.map(({ path }) => path);
    assert.deepEqual(
      paths.filter((path) => !PACKED.test(path)),
      [],
    );
    for (const path of [
      'LICENSE',
      'README.md',
      'config.yaml',
      'docs/configuration.md',
      'dist/cli.js',
      'dist/daemon.js',
      'dist/index.d.ts',
      'public/page.css',
      'deploy/systemd/regindexer.service',
    ])
      assert.ok(paths.includes(path), path);
  });

  test('carries the licences of the packages whose code is in its own', async () => {
    const scripts = packed.files.map(({ path }) => path).filter((path) => path.endsWith('.js'));
    const code = (
      await Promise.all(scripts.map((path) => readFile(file(join('node_modules/regindexer', path)), 'utf8')))
    ).join('\n');
    for (const name of ['commander', 'minimatch', 'p-map', 'typebox', 'yaml']) {
      assert.doesNotMatch(code, new RegExp(`from "${name}["/]`), `${name} is loaded`);
      const names = await readdir(join(ROOT, 'node_modules', name));
      const licence = await readFile(
        join(ROOT, 'node_modules', name, names.find((each) => /^licen[cs]e/i.test(each)) ?? ''),
        'utf8',
      );
      assert.ok(code.includes(licence.trim()), `the licence of ${name} is missing`);
    }
  });

  test('its commands run', async () => {
    assert.equal(await runCommand(bin('regindexer'), ['--version'], { env: env() }), `${version}\n`);
    assert.match(await runCommand(bin('regindexer'), ['-c', file('config.yaml'), 'check'], { env: env() }), /apps/);
    assert.match(
      await runCommand(bin('regindexer'), ['-c', file('config.yaml'), 'index'], { env: env() }),
      /^apps: 3 images, \d+ bytes, changed/m,
    );
  });

  test('it exports, the second time only what has changed', async () => {
    await writeFile(
      file('export.yaml'),
      stringify({
        indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}` } },
        state_dir: './export-state',
        server: { base_url: 'https://owner.github.io/repo' },
      }),
    );
    const run = (): Promise<string> =>
      runCommand(bin('regindexer'), ['-c', file('export.yaml'), 'export', file('site'), '--images'], { env: env() });
    assert.match(await run(), /^\S+: (\d+) files, \1 written, 0 removed$/m);
    assert.match(await run(), / 0 written, 0 removed$/m);
    assert.match(
      await readFile(file('site/index/static'), 'utf8'),
      /^\{"Registry":"https:\/\/owner\.github\.io\/repo\/"/,
    );
  });

  for (const [name, ...args] of [['regindexer', 'serve'], ['regindexer-daemon']] as const) {
    test(`${name} serves the index, answers to queries, and the page`, async () => {
      await using server = await startPeer(name, () => ({
        command: bin(name),
        args: ['-c', file('config.yaml'), ...args],
        env: env(),
        answers: async (log) => assert.match(log, URL_IN_LOG),
      }));
      const [url = ''] = URL_IN_LOG.exec(server.log) ?? [];
      const { indexes } = await settled(url);
      assert.deepEqual(
        indexes.map(({ images }) => images),
        [3],
      );
      assert.equal(
        (await get(`${url}/index/dynamic?repository=none`)).body.toString(),
        '{"Registry":"/","Results":[]}',
      );
      assert.match((await get(`${url}/`)).body.toString(), /<title>/);
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
    });
  }

  test('its types are those of what it exports', async () => {
    await writeFile(
      file('program.ts'),
      `import { createLogger, readConfig, startService, type Service } from 'regindexer';
const service: Service = await startService(readConfig('config.yaml', {}), await createLogger({ verbose: false, level: 'warn', terminal: false }));
await service.started;
console.log(service.url satisfies string);
await service.close();
`,
    );
    const { code, stdout } = await commandResult(
      join(ROOT, 'node_modules/.bin/tsc'),
      [
        '--noEmit',
        '--strict',
        '--skipLibCheck',
        '--module',
        'nodenext',
        '--target',
        'es2024',
        '--types',
        'node',
        '--typeRoots',
        join(ROOT, 'node_modules/@types'),
        'program.ts',
      ],
      { cwd: folder.path, env: env() },
    );
    assert.equal(code, 0, stdout);
    assert.match(
      await runCommand('node', ['program.ts'], { cwd: folder.path, env: env() }),
      /^http:\/\/127\.0\.0\.1:\d+\n$/,
    );
  });
});
