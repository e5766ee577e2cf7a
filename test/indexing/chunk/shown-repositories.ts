/** Made-up repositories as an index shows them. */
import { hash } from 'node:crypto';
import * as fc from 'fast-check';
import type {
  HiddenTags,
  ShownImage,
  ShownList,
  ShownRepository,
  ShownTag,
} from '../../../src/indexing/render/document.ts';
import { digestOf } from '../../../src/registry/digest.ts';

export const NONE_HIDDEN: HiddenTags = { label: [], annotation: [], either: [] };

const text = fc
  .string({ unit: 'grapheme', maxLength: 60 })
  .filter((some) => some.isWellFormed() && !some.includes('\0'));
const tagNames = ['latest', 'stable', 'beta', '1.0', 'é'];
const tags = fc
  .uniqueArray(fc.constantFrom(...tagNames), { minLength: 1, maxLength: 3 })
  .map((some) => some.toSorted());

const shownImage: fc.Arbitrary<ShownImage> = fc
  .record({
    os: fc.constantFrom('linux', 'linux', 'linux', 'windows'),
    architecture: fc.constantFrom('amd64', 'arm64'),
    ref: fc.boolean(),
    text,
    version: fc.nat({ max: 20 }),
  })
  .map(({ os, architecture, ref, text: value, version }) => ({
    digest: digestOf(JSON.stringify([os, architecture, ref, value, version])),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    os,
    architecture,
    annotations: [['org.example.note', value]],
    labels: [
      ...(ref ? [['org.flatpak.ref', `app/org.example.App${version}/x86_64/stable`] as const] : []),
      ['version', String(version)],
    ],
  }));

const shownTag: fc.Arbitrary<ShownTag> = fc.record({ tags, image: shownImage, hidden: fc.constant(NONE_HIDDEN) });
const shownList: fc.Arbitrary<ShownList> = fc
  .record({ tags, images: fc.array(shownImage, { minLength: 1, maxLength: 3 }) })
  .map(({ tags: its, images }) => ({
    tags: its,
    digest: digestOf(images.map(({ digest }) => digest).join()),
    mediaType: 'application/vnd.oci.image.index.v1+json',
    images: images.map((image) => ({ image, hidden: NONE_HIDDEN })),
  }));

/** Repositories of an index: sorted by name, not empty, some of them large. */
export const shownRepositories: fc.Arbitrary<ShownRepository[]> = fc
  .uniqueArray(
    fc.record({
      name: fc.nat({ max: 500 }).map((number) => `apps/${hash('md5', String(number)).slice(0, 6)}`),
      images: fc.oneof(
        { weight: 20, arbitrary: fc.array(shownTag, { maxLength: 3 }) },
        { weight: 1, arbitrary: fc.array(shownTag, { minLength: 201, maxLength: 260 }) },
      ),
      lists: fc.array(shownList, { maxLength: 2 }),
    }),
    { selector: ({ name }) => name, maxLength: 120 },
  )
  .map((repositories) =>
    repositories
      .filter(({ images, lists }) => images.length + lists.length > 0)
      .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  );

/** Returns the document of an index that shows `repositories` (flatpak-oci-specs, registry-index.md). */
export function documentOf(
  registry: string,
  repositories: readonly ShownRepository[],
  shows: (image: ShownImage, tags: readonly string[]) => boolean = () => true,
): unknown {
  return {
    Registry: registry,
    Results: repositories
      .map(({ name, images, lists }) => ({
        Name: name,
        Images: images
          .filter((image) => shows(image.image, image.tags))
          .map((image) => ({ Tags: image.tags, ...imageOf(image.image) })),
        Lists: lists
          .map((list) => ({
            Tags: list.tags,
            Digest: list.digest,
            MediaType: list.mediaType,
            Images: list.images.filter(({ image }) => shows(image, list.tags)).map(({ image }) => imageOf(image)),
          }))
          .filter(({ Images }) => Images.length > 0),
      }))
      .filter(({ Images, Lists }) => Images.length + Lists.length > 0),
  };
}

function imageOf({ digest, mediaType, os, architecture, annotations, labels }: ShownImage): object {
  return {
    Digest: digest,
    MediaType: mediaType,
    OS: os,
    Architecture: architecture,
    Annotations: Object.fromEntries(annotations),
    Labels: Object.fromEntries(labels),
  };
}
