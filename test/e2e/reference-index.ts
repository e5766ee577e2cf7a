/**
 * What regindexer makes of a registry, in its own plain way: everything is asked for, one after the other. Without its
 * faults.
 */
import { createHash } from 'node:crypto';
import { request } from 'undici';
import type { ImageJson, IndexJson } from '../indexing/test-state.ts';

/** A section of its configuration. */
export interface IndexSection {
  readonly registry: string;
  readonly registry_public?: string;
  readonly tags?: readonly string[];
  readonly required_annotations?: readonly string[];
  readonly required_labels?: readonly string[];
  readonly architectures?: readonly string[];
  readonly skip_flatpak_annotations?: boolean;
  readonly skip_flatpak_labels?: boolean;
  readonly extract_icons?: boolean;
}

type Pairs = Readonly<Record<string, string>>;
interface Manifest {
  readonly mediaType: string;
  readonly config?: { readonly mediaType: string; readonly digest: string };
  readonly annotations?: Pairs;
  readonly manifests?: readonly { readonly digest: string; readonly platform?: { readonly architecture: string } }[];
}
interface Config {
  readonly os: string;
  readonly architecture: string;
  readonly config: { readonly Labels?: Pairs | null };
}

const ACCEPT = [
  'oci.image.manifest.v1',
  'oci.image.index.v1',
  'docker.distribution.manifest.v2',
  'docker.distribution.manifest.list.v2',
]
  .map((type) => `application/vnd.${type}+json`)
  .join();
const IMAGE_CONFIG = /^application\/vnd\.(oci\.image\.config|docker\.container\.image)\.v1\+json$/;
const ICON = /^org\.freedesktop\.appstream\.icon-(64|128)$/;
const PNG_URI = 'data:image/png;base64,';

/** The index that `section` describes. `iconsUri` ends with `/`. */
export async function referenceIndex(section: IndexSection, iconsUri: string): Promise<IndexJson> {
  const { registry, registry_public: registryPublic = registry, tags: globs = ['*'] } = section;
  const Results = [];
  for (const Name of (await read<{ repositories: string[] }>(`${registry}/v2/_catalog`))?.repositories ?? []) {
    const tagsOf = new Map<string, string[]>();
    for (const tag of (await read<{ tags: string[] | null }>(`${registry}/v2/${Name}/tags/list`))?.tags ?? []) {
      if (!globs.some((glob) => matches(glob, tag))) continue;
      const { headers } = await request(`${registry}/v2/${Name}/manifests/${tag}`, {
        method: 'HEAD',
        headers: { accept: ACCEPT },
      });
      const digest = String(headers['docker-content-digest']);
      tagsOf.set(digest, [...(tagsOf.get(digest) ?? []), tag].toSorted());
    }
    const Images = [];
    const Lists = [];
    for (const [Digest, Tags] of [...tagsOf].toSorted(([, [a = '']], [, [b = '']]) => (a < b ? -1 : 1))) {
      const { mediaType: MediaType, manifests } = await readManifest(section, Name, Digest);
      const found = await imagesIn(section, iconsUri, Name, Digest);
      if (found.length === 0) continue;
      if (manifests) Lists.push({ Tags, Digest, MediaType, Images: found });
      else Images.push(...found.map((image) => ({ Tags, ...image })));
    }
    if (Images.length + Lists.length > 0) Results.push({ Name, Images, Lists });
  }
  return { Registry: registryPublic, Results: Results.toSorted((a, b) => (a.Name < b.Name ? -1 : 1)) };
}

/** The images that a manifest is or leads to, if the index takes them. */
async function imagesIn(
  section: IndexSection,
  iconsUri: string,
  repository: string,
  Digest: string,
): Promise<ImageJson[]> {
  const {
    mediaType: MediaType,
    config: descriptor,
    annotations = {},
    manifests,
  } = await readManifest(section, repository, Digest);
  if (manifests) {
    const children = manifests.filter(({ platform }) => platform?.architecture !== 'unknown');
    const images = await Promise.all(children.map(({ digest }) => imagesIn(section, iconsUri, repository, digest)));
    return [...new Map(images.flat().map((image) => [image.Digest, image])).values()];
  }
  if (!descriptor || !IMAGE_CONFIG.test(descriptor.mediaType)) return [];
  const { os, architecture, config } = (await read<Config>(
    `${section.registry}/v2/${repository}/blobs/${descriptor.digest}`,
  )) as Config;
  const labels = config.Labels ?? {};
  const missing =
    section.required_annotations?.some((key) => !Object.hasOwn(annotations, key)) ||
    section.required_labels?.some((key) => !Object.hasOwn(labels, key));
  if (!architecture || missing || section.architectures?.includes(architecture) === false) return [];
  const shown = (pairs: Pairs, skip = false): Pairs =>
    Object.fromEntries(
      Object.entries(pairs)
        .filter(([key]) => !(skip && /^org\.(flatpak|freedesktop)\./.test(key)))
        .flatMap((pair) => (section.extract_icons ? withIcon(pair, iconsUri) : [pair])),
    );
  return [
    {
      Digest,
      MediaType,
      OS: os,
      Architecture: architecture,
      Annotations: shown(annotations, section.skip_flatpak_annotations),
      Labels: shown(labels, section.skip_flatpak_labels),
    },
  ];
}

function withIcon([key, value]: [string, string], iconsUri: string): [string, string][] {
  if (!ICON.test(key) || !value.startsWith(PNG_URI)) return [[key, value]];
  const png = Buffer.from(value.slice(PNG_URI.length), 'base64');
  const sha256 = createHash('sha256').update(png).digest('hex');
  return png.subarray(1, 4).toString() === 'PNG'
    ? [[key, `${iconsUri}${sha256.slice(0, 2)}/${sha256.slice(2)}.png`]]
    : [];
}

/** `*` and `?` as in file names. */
function matches(glob: string, tag: string): boolean {
  return new RegExp(
    `^${glob
      .replaceAll(/[.+]/g, String.raw`\$&`)
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  ).test(tag);
}

async function readManifest({ registry }: IndexSection, repository: string, reference: string): Promise<Manifest> {
  return (await read<Manifest>(`${registry}/v2/${repository}/manifests/${reference}`)) as Manifest;
}

/** `undefined` for what is not found. */
async function read<T>(url: string): Promise<T | undefined> {
  const { statusCode, body } = await request(url, { headers: { accept: ACCEPT } });
  const text = await body.text();
  return statusCode === 404 ? undefined : (JSON.parse(text) as T);
}
