/** Reads the index.json of an image layout (OCI image-spec, image-layout.md, "index.json file"). */
import { malformed, optionalArray, parseJsonObject, stringRecord } from '../json-object.ts';
import type { Descriptor } from '../manifest.ts';
import { descriptorObject, parseDescriptor } from '../parse-descriptor.ts';
import { DEFAULT_TAG, isTag } from '../reference.ts';

const REF_NAME = 'org.opencontainers.image.ref.name';

/**
 * What each tag names: several descriptors where several have the same name, each digest once, sorted by digest.
 * @throws RegistryError `malformed` if the file has another shape than the specification's.
 */
export function parseLayoutTags(bytes: Uint8Array): ReadonlyMap<string, readonly Descriptor[]> {
  const document = parseJsonObject(bytes);
  if (!Array.isArray(document.manifests)) throw malformed('manifests', 'an array');
  const tags = new Map<string, Descriptor[]>();
  for (const [position, value] of optionalArray(document.manifests, 'manifests').entries()) {
    const path = `manifests[${position}]`;
    const descriptor = parseDescriptor(value, path);
    const name = stringRecord(descriptorObject(value, path).annotations, `${path}.annotations`)[REF_NAME];
    // Flatpak names its bundles `app/ID/ARCH/BRANCH`, which can be no tag.
    const tag = isTag(name) ? name : DEFAULT_TAG;
    const named = tags.get(tag) ?? [];
    if (!named.some(({ digest }) => digest === descriptor.digest)) named.push(descriptor);
    tags.set(tag, named);
  }
  for (const named of tags.values()) named.sort((a, b) => (a.digest < b.digest ? -1 : 1));
  return tags;
}
