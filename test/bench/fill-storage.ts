/**
 * Writes made-up apps as docker-registry keeps what was pushed to it (distribution, `registry/storage/paths.go`):
 * pushing 50,000 images takes it ten times as long.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Digest } from '../../src/registry/digest.ts';
import { digestOf } from '../../src/registry/digest.ts';
import type { Descriptor } from '../../src/registry/manifest.ts';
import { OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST } from '../../src/registry/media-types.ts';
import type { RandomApps } from '../sources/random-images.ts';
import { randomConfig, randomRepository } from '../sources/random-images.ts';

/** An empty tar: every image has this one layer. */
const LAYER = gzipSync(Buffer.alloc(1024));
const LAYER_DIFF_ID = digestOf(Buffer.alloc(1024));

export interface StoredApps extends RandomApps {
  /** So many versions of each app, shared by its tags; one for each tag if absent. */
  readonly versions?: number;
}

/** @param storage the registry's `rootdirectory`, while it does not run */
export function fillStorage(storage: string, apps: StoredApps): void {
  const files = new Storage(join(storage, 'docker/registry/v2'));
  for (let number = 0; number < apps.repositories; number++) {
    const repository = randomRepository(number);
    const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...files.layer(repository, LAYER) };
    const versions: Digest[] = [];
    for (const [place, tag] of apps.tags.entries()) {
      const version = place % (apps.versions ?? apps.tags.length);
      versions[version] ??= writeVersion(files, repository, layer, number, version, apps);
      files.tag(repository, tag, versions[version]);
    }
  }
}

function writeVersion(
  files: Storage,
  repository: string,
  layer: Descriptor,
  number: number,
  version: number,
  { architectures, size }: RandomApps,
): Digest {
  const manifests = architectures.map((architecture) => {
    const { os, labels } = randomConfig(number, version, architecture, size);
    const rootfs = { type: 'layers', diff_ids: [LAYER_DIFF_ID] };
    const config = {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      ...files.layer(repository, Buffer.from(JSON.stringify({ os, architecture, rootfs, config: { Labels: labels } }))),
    };
    return {
      ...files.manifest(repository, OCI_IMAGE_MANIFEST, { config, layers: [layer] }),
      platform: { os, architecture },
    };
  });
  return files.manifest(repository, OCI_IMAGE_INDEX, { manifests }).digest;
}

class Storage {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  layer(repository: string, bytes: Buffer): Omit<Descriptor, 'mediaType'> {
    const digest = this.#blob(bytes);
    this.#write(['repositories', repository, '_layers', ...folderOf(digest)], 'link', digest);
    return { digest, size: bytes.length };
  }

  manifest(repository: string, mediaType: string, content: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...content }));
    const digest = this.#blob(bytes);
    this.#write(['repositories', repository, '_manifests/revisions', ...folderOf(digest)], 'link', digest);
    return { mediaType, digest, size: bytes.length };
  }

  tag(repository: string, tag: string, digest: Digest): void {
    this.#write(['repositories', repository, '_manifests/tags', tag, 'current'], 'link', digest);
  }

  #blob(bytes: Buffer): Digest {
    const digest = digestOf(bytes);
    const [algorithm, hex] = folderOf(digest);
    this.#write(['blobs', algorithm, hex.slice(0, 2), hex], 'data', bytes);
    return digest;
  }

  #write(folder: readonly string[], name: string, content: string | Buffer): void {
    const path = join(this.#root, ...folder);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, name), content);
  }
}

function folderOf(digest: Digest): readonly [algorithm: string, hex: string] {
  const [algorithm = '', hex = ''] = digest.split(':');
  return [algorithm, hex];
}
