import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempDisposable, open, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { request } from 'undici';
import { bareEnvironment } from '../peers/peer.ts';
import { CLI, startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { runCommand } from '../peers/run-command.ts';
import { writeBlob, writeLayout } from '../registry/layout/write-layout.ts';
import { get } from './ask-server.ts';
import { eventually } from './eventually.ts';

/** More than what fits into the buffers between a server and a client that does not read. */
const LARGE = 32 * 1024 * 1024;

const CONTAINER = [
  'unshare',
  ...(process.getuid?.() === 0 ? [] : ['--map-root-user']),
  '--pid',
  '--fork',
  '--kill-child',
] as const;

function canUnshare(): { readonly skip: string | false } {
  return {
    skip:
      spawnSync('unshare', [...CONTAINER.slice(1), 'true']).status !== 0 &&
      'this system does not let tests make namespaces of processes',
  };
}

/** The server itself, whose parent is the container's. */
async function serverProcess({ pid }: Pick<Regindexer, 'pid'>): Promise<number> {
  return Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim());
}

test(
  'as process 1 of a container it ends at SIGTERM, with status 0, when the requests under way are done',
  canUnshare(),
  async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-layouts-'));
    const layout = join(folder.path, 'large');
    await writeLayout(layout, [{ labels: { 'org.flatpak.ref': 'app/org.example.Large/x86_64/stable' } }]);
    const large = await writeBlob(layout, randomBytes(LARGE / 2).toString('hex'));
    await using server = await startRegindexer({
      under: CONTAINER,
      config: { indexes: { apps: { registry: `oci:${folder.path}` } }, server: { port: 0 } },
    });
    await get(`${server.url}/healthz`);

    const { body } = await request(`${server.url}/v2/large/blobs/${large}`);
    const download = body.iterator({ destroyOnReturn: false });
    const hash = createHash('sha256').update((await download.next()).value as Buffer);
    process.kill(await serverProcess(server), 'SIGTERM');
    await eventually(() => assert.rejects(request(`${server.url}/healthz`), { code: 'ECONNREFUSED' }));
    for await (const chunk of download) hash.update(chunk as Buffer);
    assert.equal(`sha256:${hash.digest('hex')}`, large);
    // The container's own process hands on the status, and does not listen to signals.
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  },
);

test(
  'as process 1 of a container it ends at SIGTERM while it starts, too',
  { ...canUnshare(), timeout: 60_000 },
  async (t) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-process-1-'));
    const [pipe, config, preload] = ['pipe', 'config.yaml', 'preload.mjs'].map((name) => join(folder.path, name)) as [
      string,
      string,
      string,
    ];
    await runCommand('mkfifo', [pipe], { env: bareEnvironment(folder.path) });
    await writeFile(config, 'indexes: {apps: {registry: https://registry.example.org}}\nserver: {port: 0}\n');
    // It has to wait once it hears signals.
    await writeFile(
      preload,
      `import { readFileSync } from 'node:fs';
process.on('newListener', function wait(event) {
  if (event !== 'SIGTERM') return;
  process.off('newListener', wait);
  readFileSync('${pipe}');
});
`,
    );
    const [command, ...args] = [...CONTAINER, process.execPath, '--import', preload, CLI, '-c', config, 'serve'];
    const child = spawn(command, args, { env: bareEnvironment(folder.path), stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    const [output, ended] = [text(child.stdout), once(child, 'exit')];
    const { pid } = child;
    assert.ok(pid !== undefined);
    await using gate = await open(pipe, 'w');
    process.kill(await serverProcess({ pid }), 'SIGTERM');
    await gate.close();
    assert.deepEqual([await ended, await output], [[0, null], '']);
  },
);
