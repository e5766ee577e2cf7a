/** A registry with something of every kind that registries hold. */
import { copyImage, deleteImage } from '../peers/skopeo.ts';
import { pushSamples, SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { OCI_IMAGE_MANIFEST } from '../../src/registry/media-types.ts';
import { randomIcon } from '../sources/random-images.ts';
import { OCI_CONFIG, RegistryWriter, type Child } from './registry-writer.ts';

const ICON = 'org.freedesktop.appstream.icon-64';
const LARGE_ICON = 'org.freedesktop.appstream.icon-128';

/** Fills an empty registry; `url` is without a last `/`. */
export async function fillRegistry({ url, host }: { readonly url: string; readonly host: string }): Promise<void> {
  const writer = new RegistryWriter(url);
  await Promise.all([
    pushWithSkopeo(host),
    pushIndexes(writer),
    pushArtifacts(writer),
    pushOddities(writer),
    pushWithoutTags(writer, host),
  ]);
}

/** The samples; one digest under two tags and in two repositories; an image of Docker's schema 2. */
async function pushWithSkopeo(host: string): Promise<void> {
  await pushSamples(host);
  await copyImage({ from: `docker://${host}/apps/hello:latest`, to: `${host}/apps/hello:v1.0` });
  await copyImage({ from: `docker://${host}/apps/hello:latest`, to: `${host}/mirror/hello:latest` });
  await copyImage({ from: `oci:${SAMPLE_IMAGES}/apps/clock`, to: `${host}/apps/clock:docker`, format: 'v2s2' });
}

async function pushIndexes(writer: RegistryWriter): Promise<void> {
  const repository = 'apps/nested';
  const [amd64, arm64, s390x] = [
    await pushNested(writer, 'amd64'),
    await pushNested(writer, 'arm64'),
    await pushNested(writer, 's390x'),
  ];
  await writer.index(repository, [amd64, arm64], 'v1.0');
  const others = await writer.index(repository, [arm64, s390x]);
  await writer.index(repository, [amd64, others], 'latest');

  const built = await writer.image('tools/built', {
    labels: { tool: 'yes' },
    annotations: { 'org.example.kind': 'tool', 'org.flatpak.note': 'a note' },
  });
  const attestation = await writer.image('tools/built', { os: 'unknown', architecture: 'unknown' });
  await writer.index('tools/built', [built, attestation], 'latest');
}

async function pushNested(writer: RegistryWriter, architecture: string): Promise<Child> {
  const labels = { 'org.flatpak.ref': `app/org.example.Nested/${architecture}/stable`, only: architecture };
  return writer.image('apps/nested', { architecture, labels, annotations: { 'org.example.kind': 'app' } });
}

/** A signature beside the image that it signs, and a chart. */
async function pushArtifacts(writer: RegistryWriter): Promise<void> {
  const signed = await writer.blob(
    'apps/hello',
    OCI_CONFIG,
    JSON.stringify({ os: '', architecture: '', config: {}, rootfs: { type: 'layers', diff_ids: [] } }),
  );
  await writer.manifest(
    'apps/hello',
    OCI_IMAGE_MANIFEST,
    { config: signed, layers: [] },
    `sha256-${'0'.repeat(64)}.sig`,
  );
  const chart = await writer.blob('charts/hello', 'application/vnd.cncf.helm.config.v1+json', '{"name":"hello"}');
  await writer.manifest('charts/hello', OCI_IMAGE_MANIFEST, { config: chart, layers: [] }, '1.0');
}

async function pushOddities(writer: RegistryWriter): Promise<void> {
  await writer.image('apps/plain', { labels: null }, 'nightly');
  const strange = {
    ['__proto__']: 'own',
    constructor: 'x',
    '': 'no key',
    'a "b"\n\t😀': '\u2028 \\ \u0001',
    large: 'x'.repeat(1024 * 1024),
  };
  await writer.image('apps/odd', { labels: strange, annotations: { ...strange, 'org.example.kind': '' } }, 'latest');
  const [one, two] = [pngUri(randomIcon('one', 3_000)), pngUri(randomIcon('two', 3_000))];
  await writer.image(
    'apps/icons',
    {
      labels: {
        'org.flatpak.ref': 'app/org.example.Icons/x86_64/stable',
        [ICON]: one,
        [LARGE_ICON]: pngUri(Buffer.from('GIF89a')),
      },
      annotations: { [ICON]: two, [LARGE_ICON]: one, 'org.example.kind': 'app', 'org.flatpak.note': 'a note' },
    },
    'latest',
  );
}

function pngUri(bytes: Buffer): string {
  return `data:image/png;base64,${bytes.toString('base64')}`;
}

/** One whose tags are gone, and one that never had any. */
async function pushWithoutTags(writer: RegistryWriter, host: string): Promise<void> {
  await writer.image('apps/deleted', { labels: { gone: 'yes' } }, 'latest');
  await deleteImage(`${host}/apps/deleted:latest`);
  await writer.image('apps/untagged', {});
}
