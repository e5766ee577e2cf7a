/** Answers of an index of many chunks. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { request } from 'undici';
import { defineIndex, named, TestState } from '../indexing/test-state.ts';
import { startChromium } from '../peers/chromium.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { runCommand } from '../peers/run-command.ts';
import type { MemoryRegistry } from '../sources/memory-registry.ts';
import { TestServer, type TestServerOptions } from './test-server.ts';

const FLATPAK = 'tag=latest&os=linux&architecture=amd64&label%3Aorg.flatpak.ref%3Aexists=1';
const PATHS = [
  '/index/apps-file.json',
  `/index/static?${FLATPAK}`,
  '/index/static?tag=rare',
  `/index/static?${FLATPAK.replace('latest', 'none')}`,
  '/index/static?repository=none',
  '/index/dynamic?label:name:matches=*1*',
  '/api/apps',
];

function push(registry: MemoryRegistry, repository: string, name: string): void {
  const labels = {
    'org.flatpak.ref': `app/org.example.${name}/x86_64/stable`,
    'org.flatpak.metadata': `[Application]\nname=org.example.${name}\n`,
  };
  const images = ['amd64', 'arm64'].map((architecture) =>
    registry.pushImage(repository, undefined, { architecture, ...named(name, labels) }),
  );
  registry.pushIndex(repository, 'latest', images);
}

/** Serves an index of several chunks; one repository is cut within, as it has lists. */
async function serve(
  t: TestContext,
  { textLength = 6000, ...options }: TestServerOptions & { readonly textLength?: number } = {},
): Promise<{ state: TestState; server: TestServer; port: number }> {
  const state = await TestState.open(t);
  for (let i = 0; i < 80; i++) push(state.registry, `apps/app${i}`, `App${i}`);
  state.registry.pushImage('apps/app7', 'rare', named('rare'));
  for (let i = 0; i < 250; i++)
    state.registry.pushImage('large', `v${i}`, named(`large${i}`, { text: `${i} `.padEnd(textLength, 'text ') }));
  for (let i = 0; i < 20; i++)
    state.registry.pushIndex('large', `list${i}`, [state.registry.pushImage('large', undefined, named(`listed${i}`))]);
  const server = await TestServer.create(t, state, {
    description: {
      indexes: [{ name: 'apps', title: 'apps', remoteName: 'apps', signatures: false }],
      baseUrl: undefined,
    },
    ...options,
  });
  await server.rebuild();
  const { chunks } = await state.shown();
  assert.ok(
    chunks.filter(({ slice }) => slice === undefined).length > 2 &&
      chunks.filter(({ slice }) => slice === 'large').length > 2,
  );
  return { state, server, port: await server.listen() };
}

/** A decoder that fails unless it reads exactly one gzip member. */
const ONE_MEMBER = `
import sys, gzip, zlib
data = sys.stdin.buffer.read()
one = zlib.decompressobj(31)
text = one.decompress(data) + one.flush()
assert one.eof and one.unused_data == b'', 'more than one member'
assert gzip.decompress(data) == text
sys.stdout.buffer.write(text)
`;

test('gzip of many parts is one member, which every client decodes', needs('chromium'), async (t) => {
  const { port } = await serve(t);
  const url = `http://127.0.0.1:${port}`;
  await using browser = await startChromium();
  const page = await browser.context.newPage();
  await page.goto(url);
  for (const path of PATHS) {
    const plain = await (await request(url + path)).body.text();
    const { headers, body } = await request(url + path, { headers: { 'accept-encoding': 'gzip' } });
    const zipped = Buffer.from(await body.arrayBuffer());
    assert.equal(headers['content-encoding'], 'gzip');
    assert.equal(headers['content-length'], String(zipped.length));
    assert.equal(gunzipSync(zipped).toString(), plain, path);
    JSON.parse(plain);
    const env = { PATH: process.env['PATH'] ?? '' };
    const python = `import urllib.request, subprocess, sys\nprint(end=subprocess.run([sys.executable, '-c', sys.argv[2]], input=urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={'Accept-Encoding': 'gzip'})).read(), stdout=subprocess.PIPE, check=True).stdout.decode())`;
    assert.equal(await runCommand('python3', ['-c', python, url + path, ONE_MEMBER], { env }), plain, path);
    assert.equal(
      await runCommand('curl', ['--silent', '--show-error', '--fail', '--compressed', url + path], { env }),
      plain,
      path,
    );
    const fetched = await page.evaluate(async (asked: string) => {
      const answer = await fetch(asked);
      return { encoding: answer.headers.get('content-encoding'), text: await answer.text() };
    }, path);
    assert.deepEqual([fetched.encoding, fetched.text === plain], ['gzip', true], path);
  }
});

test('Flatpak lists the apps of all chunks', needs('flatpak', 'dbus-daemon'), async (t) => {
  const { port } = await serve(t);
  await using user = await startFlatpakClient();
  await user.flatpak('remote-add', '--user', 'apps', `oci+http://127.0.0.1:${port}`);
  const listed = await user.flatpak('remote-ls', '--user', '--all', 'apps', '--columns=ref');
  assert.deepEqual(
    listed
      .trim()
      .split('\n')
      .map((ref) => ref.trim())
      .toSorted(),
    Array.from({ length: 80 }, (_, i) => `app/org.example.App${i}/x86_64/stable`).toSorted(),
  );
});

test('HEAD has the length, also of what is sent in parts', async (t) => {
  let reads = 0;
  const { port } = await serve(t, {
    maxBodyBytes: 1,
    readBody: (read) => {
      reads++;
      return read();
    },
  });
  for (const path of PATHS.filter((asked) => asked.includes('file') || asked.includes('org.flatpak.ref'))) {
    for (const encoding of ['identity', 'gzip']) {
      reads = 0;
      const head = await request(`http://127.0.0.1:${port}${path}`, {
        method: 'HEAD',
        headers: { 'accept-encoding': encoding },
      });
      assert.equal((await head.body.text()).length, 0);
      assert.equal(reads, 0, 'it is known without reading a part');
      const get = await request(`http://127.0.0.1:${port}${path}`, { headers: { 'accept-encoding': encoding } });
      assert.equal(
        head.headers['content-length'],
        String((await get.body.arrayBuffer()).byteLength),
        `${path} ${encoding}`,
      );
      for (const name of ['etag', 'content-type', 'content-encoding', 'cache-control', 'last-modified', 'vary'])
        assert.equal(head.headers[name], get.headers[name], name);
    }
  }
});

test('an empty index and an empty answer are valid in both encodings', async (t) => {
  const state = await TestState.open(t);
  const server = await TestServer.create(t, state);
  await server.rebuild();
  const tags = new Set<unknown>();
  for (const path of ['/index/static', `/index/static?${FLATPAK}`, '/index/dynamic?repository=none']) {
    for (const encoding of ['identity', 'gzip']) {
      const { statusCode, rawPayload, headers } = await server.fastify.inject({
        url: path,
        headers: { 'accept-encoding': encoding },
      });
      assert.equal(statusCode, 200);
      assert.deepEqual(JSON.parse(String(encoding === 'gzip' ? gunzipSync(rawPayload) : rawPayload)), {
        Registry: defineIndex({}).registryPublic,
        Results: [],
      });
      assert.equal(headers['content-length'], String(rawPayload.length));
      tags.add(String(headers.etag).replace('W/', ''));
    }
  }
  assert.equal(tags.size, 1, 'they have the same content');
});

test('an entity tag changes only with the content of its answer, or with Registry', async (t) => {
  const { state, server } = await serve(t);
  const questions = ['', FLATPAK, 'repository=apps/app1', 'tag=rare', 'repository=none'];
  const tags = async (): Promise<string[]> =>
    Promise.all(
      questions.map(async (question) =>
        String((await server.fastify.inject(`/index/static?${question}`)).headers.etag),
      ),
    );
  const changed = async (before: readonly string[]): Promise<string[]> =>
    (await tags()).flatMap((tag, place) => (tag === before[place] ? [] : [questions[place] ?? '']));
  const first = await tags();
  assert.deepEqual(await changed(first), []);

  push(state.registry, 'apps/app2', 'Other2');
  await server.rebuild();
  assert.deepEqual(await changed(first), ['', FLATPAK]);
  push(state.registry, 'apps/app2', 'App2');
  await server.rebuild();
  assert.deepEqual(await changed(first), [], 'as it was');

  // Another repository moves the chunk boundaries.
  for (let i = 0; i < 30; i++) state.registry.pushImage(`apps/more${i}`, 'other', named(`more${i}`));
  await server.rebuild();
  assert.deepEqual(await changed(first), ['']);
  for (let i = 0; i < 30; i++) state.registry.deleteRepository(`apps/more${i}`, { stays: true });
  await server.rebuild();
  assert.deepEqual(await changed(first), []);

  await state.reopen({ definitions: [{ registryPublic: 'https://public.example.org' }] });
  await server.rebuild();
  assert.deepEqual(await changed(first), questions);
});

test('the server keeps no copy of a large answer for a slow client', async (t) => {
  let reads = 0;
  const { state, port } = await serve(t, {
    // More than socket buffers hold.
    textLength: 100_000,
    maxBodyBytes: 1,
    readBody: (read) => {
      reads++;
      return read();
    },
  });
  const text = await state.text();
  const { chunks } = await state.shown();
  reads = 0;
  const sockets = Array.from({ length: 4 }, () => connect(port, '127.0.0.1'));
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  for (const socket of sockets) {
    socket.write('GET /index/apps-file.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await once(socket, 'readable');
  }
  // Socket buffers hold far less than each answer.
  const so = await quiet(() => reads);
  assert.ok(
    so < (sockets.length * chunks.length) / 2,
    `${so} parts were read for ${sockets.length} clients, of ${chunks.length}`,
  );
  for (const socket of sockets) {
    const answer = await buffer(socket);
    assert.ok(
      answer
        .subarray(-text.length - 4)
        .toString()
        .endsWith(text),
    );
  }
});

/** Resolves with a value once it is stable. */
async function quiet(value: () => number): Promise<number> {
  for (let before = value(); ; before = value()) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    if (value() === before) return before;
  }
}
