/** Tests of `regindexer export` as a program: what it writes, leaves alone and removes, and when. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { matchesDigest, type Digest } from '../../src/registry/digest.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { CLI, startRegindexer } from '../peers/regindexer.ts';
import { flatpakLabels, type FlatpakApp } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { get, settled } from './ask-server.ts';
import { startExportedSite, type ExportedSite } from './exported-site.ts';
import { startHoldingProxy } from './holding-proxy.ts';

/** A PNG of one pixel. */
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg+M9QDwADgQF/mZ3x4wAAAABJRU5ErkJggg==',
  'base64',
);
const QUESTION = 'label%3Aorg.flatpak.ref%3Aexists=1&os=linux&tag=';
const LIST = '.regindexer.json';
const APPS = '.regindexer-apps.json';
const JOURNAL = '.regindexer-journal';

interface ExportedIndexJson {
  readonly Registry: string;
  readonly Results: readonly {
    readonly Name: string;
    readonly Images: readonly { readonly Digest: Digest; readonly Labels: Readonly<Record<string, string>> }[];
  }[];
}

function push(registry: LabelRegistry, repository: string, app: FlatpakApp, tag = 'latest'): void {
  const architecture = app.architecture === 'aarch64' ? 'arm64' : 'amd64';
  registry.push(repository, { tag, architecture, labels: flatpakLabels({ icon: PIXEL, ...app }) });
}

/** Paths of all files, sorted. */
async function files(site: ExportedSite): Promise<readonly string[]> {
  const entries = await readdir(site.folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(site.folder.length + 1))
    .toSorted();
}

/** Time and inode of each file that is published. */
async function states(site: ExportedSite): Promise<ReadonlyMap<string, string>> {
  const published = (await files(site)).filter((path) => path !== JOURNAL);
  const found = published.map(async (path) => {
    const { ino, mtimeNs } = await stat(join(site.folder, path), { bigint: true });
    return [path, `${ino} ${mtimeNs}`] as const;
  });
  return new Map(await Promise.all(found));
}

function text(site: ExportedSite, path: string): Promise<string> {
  return readFile(join(site.folder, path), 'utf8');
}

async function indexIn(site: ExportedSite, path = 'index/static'): Promise<ExportedIndexJson> {
  return JSON.parse(await text(site, path)) as ExportedIndexJson;
}

test('what is exported is, byte for byte, what a server answers', async () => {
  await using registry = await LabelRegistry.start();
  const translated = { id: 'org.example.One', appdata: '<name xml:lang="de">Eins</name>' };
  push(registry, 'apps/one', { ...translated, timestamp: 1 });
  push(registry, 'apps/one-arm', { ...translated, architecture: 'aarch64' });
  push(registry, 'apps/other', { id: 'org.example.One', name: 'The same ref again' });
  push(registry, 'apps/two', { id: 'org.example.Two' });
  push(registry, 'apps/two', { id: 'org.example.Two', name: 'Two in the making' }, 'beta');
  push(registry, 'apps/beta', { id: 'org.example.Beta' }, 'beta');
  for (const tag of ['latest', 'beta']) push(registry, 'runtime', { id: 'org.example.Platform', type: 'runtime' }, tag);
  registry.push('tools', { labels: { tool: 'yes' } });
  const indexes = {
    inline: { registry: registry.url, title: 'Ours' },
    apps: { registry: registry.url, extract_icons: true },
  };
  await using site = await startExportedSite({ indexes, default_index: 'apps' }, { path: '/repo' });
  await using server = await startRegindexer({
    config: { indexes, default_index: 'apps', server: { port: 0, base_url: site.host.url, max_age: 0 } },
  });
  const [, url = ''] = /listening at (http:\/\/127\.0\.0\.1:\d+)/.exec(server.log) ?? [];
  await settled(url);
  for (const tag of ['latest', 'beta']) {
    await site.export('--tag', tag);
    const same = async (path: string, question: string): Promise<void> => {
      const { body } = await get(`${url}/${question}`);
      assert.equal(await text(site, path), body.toString(), path);
    };
    await same('index/static', `index/static?${QUESTION}${tag}`);
    for (const name of ['apps', 'inline']) {
      await same(`${name}/index/static`, `${name}/index/static?${QUESTION}${tag}`);
      await same(`index/${name}.json`, `index/${name}.json`);
      await same(`${name}.flatpakrepo`, `${name}.flatpakrepo?tag=${tag}`);
      const { apps } = JSON.parse(await text(site, `api/${name}/apps.json`)) as { apps: { id: string }[] };
      const ids = tag === 'beta' ? ['Beta', 'Platform', 'Two'] : ['One', 'Platform', 'Two'];
      assert.deepEqual(
        apps.map(({ id }) => id).toSorted(),
        ids.map((id) => `org.example.${id}`),
      );
      for (const { id } of apps.filter((app) => tag === 'latest' || app.id !== 'org.example.Two'))
        await same(`${name}/${id}.flatpakref`, `${name}/${id}.flatpakref?tag=${tag}`);
      // The server knows its image with the other tag, too.
      if (tag === 'beta')
        assert.match(await text(site, `${name}/org.example.Two.flatpakref`), /^Title=Two in the making$/m);
    }
    for (const path of await files(site)) if (/^(?:icons|page)\//.test(path)) await same(path, path);
    assert.match(
      await text(site, 'apps/updates.atom'),
      new RegExp(`<link rel="alternate" type="text/html" href="${site.host.url}/apps/org\\.example\\.Two\\.html"/>`),
    );
    assert.ok((await text(site, 'sitemap.xml')).includes(`<loc>${site.host.url}/apps/org.example.Two.html</loc>`));
    assert.ok((await text(site, 'robots.txt')).endsWith(`\nSitemap: ${site.host.url}/sitemap.xml\n`));
    // An app that has this tag alone.
    const [id] = tag === 'beta' ? ['org.example.Beta'] : ['org.example.One'];
    await same(`api/apps/apps/${id}.json`, `api/apps/${id}?index=apps`);
    if (tag === 'latest') await same(`api/apps/apps/${id}.translations.json`, `api/apps/${id}/translations?index=apps`);
    assert.deepEqual(
      await readFile(join(site.folder, `api/inline/apps/${id}.png`)),
      (await get(`${url}/api/apps/${id}/icon?index=inline`)).body,
    );
  }
});

test('nothing is read or written again, but what a push changes', async () => {
  await using registry = await LabelRegistry.start();
  for (const name of ['one', 'two', 'three']) push(registry, `apps/${name}`, { id: `org.example.${name}` });
  await using site = await startExportedSite({ indexes: { apps: { registry: registry.url, extract_icons: true } } });
  const { stdout } = await site.export('--images');
  assert.match(stdout, new RegExp(`^${site.folder}: (\\d+) files, \\1 written, 0 removed$`, 'm'));
  const before = await states(site);
  registry.requests.length = 0;
  assert.match((await site.export('--images')).stdout, /files, 0 written, 0 removed$/m);
  assert.deepEqual(await states(site), before);
  assert.deepEqual(
    registry.requests.filter((request) => !/ \/v2\/_catalog|\/tags\/list|^HEAD /.test(request)),
    [],
  );

  push(registry, 'apps/two', { id: 'org.example.two', summary: 'New' });
  registry.requests.length = 0;
  await site.export('--images');
  const changed = [...(await states(site))].flatMap(([path, state]) => (before.get(path) === state ? [] : [path]));
  assert.deepEqual(
    changed.map((path) => path.replace(/sha256:.*/, 'DIGEST')),
    [
      APPS,
      LIST,
      'api/apps/apps.json',
      'api/apps/apps/org.example.two.json',
      'apps/all.html',
      'apps/index.html',
      'apps/index/static',
      'apps/org.example.two.flatpakref',
      'apps/org.example.two.html',
      'apps/updates.atom',
      'index.html',
      'index/apps.json',
      'index/static',
      'sitemap.xml',
      'v2/apps/two/blobs/DIGEST',
      'v2/apps/two/manifests/DIGEST',
    ],
  );
  const images = registry.requests.filter(
    (request) => request.startsWith('GET /v2/apps/') && !request.includes('/tags/list'),
  );
  assert.equal(images.length, 4, 'manifest and config, for the index and for the files');
  assert.ok(images.every((request) => request.startsWith('GET /v2/apps/two/')));
});

test('files that no export names any more go after clean_files_after, and no others', async () => {
  await using registry = await LabelRegistry.start();
  push(registry, 'apps/one', { id: 'org.example.One' });
  push(registry, 'apps/two', { id: 'org.example.Two', icon: PIXEL });
  const indexes = { apps: { registry: registry.url } };
  await using site = await startExportedSite({ indexes });
  await mkdir(site.folder, { recursive: true });
  await writeFile(join(site.folder, 'CNAME'), 'apps.example.org');
  await site.export('--images');
  const all = await files(site);
  registry.delete('apps/two');
  await site.export('--images');
  assert.deepEqual(await files(site), all);
  assert.ok(!(await text(site, 'index/static')).includes('org.example.Two'));

  const config = await readFile(site.config, 'utf8');
  await writeFile(site.config, `${config}clean_files_after: 0\n`);
  assert.match((await site.export('--images')).stdout, / 6 removed$/m);
  assert.deepEqual(
    await files(site),
    all.filter((path) => !/two/i.test(path)),
  );
  assert.ok(!(await readdir(join(site.folder, 'v2/apps'))).includes('two'));

  // Somebody else's list removes nothing outside.
  const outside = join(dirname(site.folder), 'outside');
  await writeFile(outside, 'kept');
  await writeFile(join(site.folder, LIST), JSON.stringify({ '../outside': null, 'page/../../outside': null }));
  await site.export();
  assert.equal(await readFile(outside, 'utf8'), 'kept');
});

test('an export that is killed leaves an index of which everything is there, and the next one goes on', async () => {
  await using registry = await LabelRegistry.start();
  await using proxy = await startHoldingProxy(registry.url);
  push(registry, 'apps/one', { id: 'org.example.One' });
  await using site = await startExportedSite({ indexes: { apps: { registry: proxy.url, extract_icons: true } } });
  await site.export('--images');
  const before = await text(site, 'index/static');
  push(registry, 'apps/one', { id: 'org.example.One', name: 'New', icon: Buffer.concat([PIXEL, PIXEL]) });
  push(registry, 'apps/two', { id: 'org.example.Two' });
  const env = bareEnvironment(dirname(site.folder));
  let stops = 0;
  // Up to one that ends before so many requests.
  for (let requests = 0; ; requests += 2) {
    const held = proxy.holdAfter(requests);
    const child = spawn(process.execPath, [CLI, '-c', site.config, 'export', site.folder, '--images'], {
      env,
      stdio: 'ignore',
    });
    const ended = once(child, 'exit');
    const stopped = await Promise.race([held.then(() => true), ended.then(() => false)]);
    child.kill('SIGKILL');
    await ended;
    proxy.release();
    await assertComplete(site);
    if (!stopped) break;
    stops++;
    assert.equal(await text(site, 'index/static'), before, `after ${requests} requests`);
  }
  assert.ok(stops > 2);
  await site.export('--images');
  await assertComplete(site);
  assert.match(await text(site, 'index/static'), /org\.example\.Two/);
  // Nothing is forgotten of what those wrote that were killed.
  const listed = Object.keys(JSON.parse(await text(site, LIST)) as object);
  assert.deepEqual(await files(site), [...listed, LIST, APPS].toSorted());
});

/** Every icon, manifest and blob that the index names is there, whole. */
async function assertComplete(site: ExportedSite): Promise<void> {
  const { Registry, Results } = await indexIn(site);
  assert.equal(Registry, `${site.host.url}/`);
  for (const { Name, Images } of Results) {
    for (const { Digest: digest, Labels } of Images) {
      const icon = Labels['org.freedesktop.appstream.icon-128'] ?? '';
      assert.ok((await stat(join(site.folder, icon))).size > 0);
      const manifest = await readFile(join(site.folder, `v2/${Name}/manifests/${digest}`));
      assert.ok(matchesDigest(manifest, digest));
      const { config } = JSON.parse(manifest.toString()) as { config: { digest: Digest } };
      assert.ok(matchesDigest(await readFile(join(site.folder, `v2/${Name}/blobs/${config.digest}`)), config.digest));
    }
  }
}

test('content is written before what names it, the indexes last', async () => {
  await using registry = await LabelRegistry.start();
  push(registry, 'apps/one', { id: 'org.example.One' });
  await using site = await startExportedSite({
    indexes: { apps: { registry: registry.url, extract_icons: true }, inline: { registry: registry.url } },
  });
  await site.export('--images');
  const written = await Promise.all(
    (await files(site)).map(async (path) => ({
      path,
      at: (await stat(join(site.folder, path), { bigint: true })).ctimeNs,
      order: [
        /^(icons|v2)\//,
        /\/apps\/.*\.json$/,
        /^api\/.*\/apps\.json$/,
        /^(.*\/)?index\.html$/,
        /^(.*\/)?index\/static$/,
      ].findIndex((pattern) => pattern.test(path)),
    })),
  );
  for (const one of written)
    for (const other of written)
      if (one.order !== -1 && one.order < other.order) assert.ok(one.at <= other.at, `${one.path}, ${other.path}`);
  const last = written.filter(({ path }) => path !== LIST).toSorted((a, b) => Number(b.at - a.at))[0];
  assert.ok(written.every(({ path, at }) => path === LIST || at <= (last?.at ?? 0n)));
  assert.equal(written.filter(({ order }) => order === 4).length, 3);
});

test('nothing is exported that could not be built, and what was exported stays', async () => {
  await using registry = await LabelRegistry.start();
  push(registry, 'apps/one', { id: 'org.example.One' });
  registry.break('apps/one');
  await using site = await startExportedSite({ indexes: { apps: { registry: registry.url } } });
  const first = await site.run();
  assert.equal(first.code, 1);
  assert.match(first.stderr, /^regindexer: the index apps could not be built yet, so nothing was exported/m);
  await assert.rejects(stat(site.folder), { code: 'ENOENT' });

  registry.mend('apps/one');
  await site.export();
  const before = await states(site);
  registry.break('apps/one');
  const { code, stderr } = await site.run();
  assert.equal(code, 1, 'what could not be read is a failure');
  assert.match(stderr, /apps\/one: not read, what was known is kept/);
  assert.deepEqual(await states(site), before);
});

test('an image that is gone from the registry fails the export, with its name', async () => {
  await using registry = await LabelRegistry.start();
  push(registry, 'apps/one', { id: 'org.example.One' });
  await using site = await startExportedSite({ indexes: { apps: { registry: registry.url } } });
  await site.export();
  const before = await states(site);
  registry.break('apps/one');
  registry.lose();
  const { code, stderr } = await site.run('--images');
  assert.equal(code, 1);
  assert.match(stderr, /^regindexer: GET .*\/v2\/apps\/one\/(?:manifests|blobs)\/sha256:.*: answered 404$/m);
  assert.deepEqual(await states(site), before);
});

test('wrong usage is refused with what to do', async () => {
  await using registry = await LabelRegistry.start();
  await using site = await startExportedSite({ indexes: { apps: { registry: registry.url } } });
  const tag = await site.run('--tag', 'a b');
  assert.deepEqual(
    [tag.code, tag.stderr.trim()],
    [2, "error: option '--tag <tag>' argument 'a b' is invalid. Expected a tag such as latest."],
  );
  await writeFile(site.config, JSON.stringify({ indexes: { apps: { registry: registry.url } } }));
  const { code, stderr } = await site.run();
  assert.deepEqual(
    [code, stderr.trim()],
    [
      2,
      `${site.config}:1:1: server.base_url: is needed by an export, expected the URL that the files will be at, such as https://owner.github.io/repo`,
    ],
  );
});

test('it warns where clients would ask the host for images that it does not have', async () => {
  await using site = await startExportedSite({ indexes: { apps: { registry: 'oci:.' } } });
  await mkdir(join(dirname(site.folder), 'none'), { recursive: true });
  const warning =
    /clients of the index apps will ask for its images at http:\S+, where an export without --images has none/;
  assert.match((await site.run()).stderr, warning);
  assert.doesNotMatch((await site.run('--images')).stderr, warning);
});

test('signatures are exported, and hosts are told how long to keep what', async () => {
  await using registry = await LabelRegistry.start();
  push(registry, 'apps/one', { id: 'org.example.One' });
  await using site = await startExportedSite({
    indexes: { apps: { registry: registry.url, signatures_dir: './signatures', extract_icons: true } },
  });
  const { stderr } = await site.export('--images');
  assert.match(
    stderr,
    new RegExp(`signatures must have the docker-reference ${new URL(site.host.url).host}/REPOSITORY`),
  );
  const digest = (await indexIn(site)).Results[0]?.Images[0]?.Digest ?? '';
  const path = `apps/one@${digest.replace(':', '=')}/signature-`;
  for (const number of [1, 2]) {
    const file = join(dirname(site.folder), 'signatures', path + number);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `signature ${number}`);
  }
  await site.export();
  for (const number of [1, 2])
    assert.equal(await text(site, `apps/signatures/${path}${number}`), `signature ${number}`);
  assert.equal(await text(site, '.nojekyll'), '');
  const headers = await text(site, '_headers');
  assert.match(headers, /^\/index\/static\n {2}cache-control: public, max-age=0, stale-while-revalidate=0, /m);
  for (const immutable of ['/icons/*', '/v2/*'])
    assert.ok(headers.includes(`\n${immutable}\n  cache-control: public, max-age=31536000, immutable\n`));
});
