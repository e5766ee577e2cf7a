/** Says why an index shows the images of a repository, or does not. */
import type { Digest } from '../registry/digest.ts';
import { DELTA_INDEX_TAG } from '../registry/reference.ts';
import { matcher } from '../registry/config-glob.ts';
import type { Catalog, Image, KnownRegistry } from '../store/catalog.ts';
import type { Publications } from '../store/publications.ts';
import { joinNames } from '../system/join-names.ts';
import { architectureMismatch, FLATPAK_REF } from './appdata/flatpak-image.ts';
import type { IndexDefinition } from './index-definition.ts';
import { selectionOf } from './publisher.ts';
import type { HiddenTags } from './render/document.ts';
import { WHOLE_REPOSITORY } from './scan/losses.ts';
import { decideRepositories, type DecidedRepository } from './select/decide.ts';
import { FactsCache, ImageCache } from './select/image-facts.ts';
import { digestsOf, selectRepository, type SelectedRepository } from './select/select.ts';
import { wantedBy, type Wanted } from './select/wanted.ts';

/** Images of one repository that are explained. */
const MAX_IMAGES = 200;

/** Subject of an explanation: a repository, or one tag of it. */
export interface ExplainSubject {
  readonly repository: string;
  readonly tag?: string | undefined;
}

/** An image of the repository. */
export interface ExplainedImage {
  readonly digest: string;
  /** Those of its tags that the index takes, sorted. */
  readonly tags: readonly string[];
  /** A GOARCH name. */
  readonly architecture: string;
  /** The Flatpak ref that it claims; empty if it claims none. */
  readonly ref: string;
  /** Whether Flatpak clients get it for one of its tags at least. */
  readonly shown: boolean;
  /** Sentences: why it is not shown, or not for all. */
  readonly reasons: readonly string[];
}

/** Explanation of what one index shows of the repository. */
export interface Explanation {
  readonly index: string;
  /** Whether Flatpak clients get one of the images at least. */
  readonly shown: boolean;
  /** Sentences about the repository and its tags. */
  readonly reasons: readonly string[];
  readonly images: readonly ExplainedImage[];
}

/** Options of {@link explain}. */
export interface ExplainOptions {
  readonly definition: IndexDefinition;
  /** Says whether a repository of its registry is read at all. */
  readonly covers: (repository: string) => boolean;
  readonly catalog: Catalog;
  readonly publications: Pick<Publications, 'publication'>;
}

/**
 * Explains what an index shows of a repository, from the catalog: no registry is asked.
 * @throws StoreError
 */
export async function explain(subject: ExplainSubject, options: ExplainOptions): Promise<Explanation> {
  const { definition, catalog, publications } = options;
  const { repository } = subject;
  const { name: index, registry } = definition;
  const refused = refusal(subject, options);
  if (refused.length > 0) return { index, shown: false, reasons: refused, images: [] };

  const known = await catalog.known(registry, [repository]);
  const reasons = [
    ...(await knowledge(subject, known, options)),
    ...tagReasons(subject, known, wantedOf(subject, options)),
  ];
  const images = await explainImages(subject, known, options);
  if (images.length > MAX_IMAGES) reasons.push(`It has ${images.length} images; these are the first ${MAX_IMAGES}.`);
  const shown = images.some((image) => image.shown);
  if (shown && (await publications.publication(index)) === undefined)
    reasons.push('The index is not built yet: the next rebuild that succeeds shows what is said here.');
  else if ((await catalog.dirty(index)).repositories.includes(repository))
    reasons.push('It has changed since the index was last built: the next rebuild shows what is said here.');
  return { index, shown, reasons, images: images.slice(0, MAX_IMAGES) };
}

/** Says why the index does not take the repository or the tag at all; nothing if it does. */
function refusal({ repository, tag }: ExplainSubject, { definition, covers }: ExplainOptions): readonly string[] {
  const { name, registry, repositoryInclude, repositoryExclude, tags } = definition;
  const excluding = repositoryExclude.find((glob) => matcher([glob])(repository));
  const isIncluded = repositoryInclude.length === 0 || matcher(repositoryInclude)(repository);
  return [
    ...(covers(repository)
      ? []
      : [`It is not read: registries.${registry}.repositories, or the owner of its listing, does not select it.`]),
    ...(isIncluded
      ? []
      : [`indexes.${name}.repository_include has nothing that matches it: ${joinNames(repositoryInclude)}.`]),
    ...(excluding === undefined ? [] : [`indexes.${name}.repository_exclude has ${excluding}, which matches it.`]),
    ...(tag === DELTA_INDEX_TAG ? ['This tag is that of the deltas between its images, which is never shown.'] : []),
    ...(tag === undefined || matcher(tags)(tag)
      ? []
      : [`indexes.${name}.tags has nothing that matches ${tag}: ${joinNames(tags)}.`]),
  ];
}

function wantedOf({ tag }: ExplainSubject, { definition, covers }: ExplainOptions): Wanted {
  const wanted = wantedBy(definition, covers);
  return { ...wanted, tag: (name) => (tag === undefined || name === tag) && wanted.tag(name) };
}

/** Says what is known of the repository, and how well. */
async function knowledge(
  { repository, tag }: ExplainSubject,
  { repositories }: KnownRegistry,
  { definition, catalog }: ExplainOptions,
): Promise<string[]> {
  const { registry } = definition;
  const reasons: string[] = [];
  if (!(await catalog.scanned(registry)).includes(selectionOf(definition)))
    reasons.push(`${registry} has not been read in full yet for this index.`);
  const known = repositories.get(repository);
  if (known === undefined) {
    reasons.push(
      'It was not found when the registry was last read: the registry did not list it, or it has no tag that an index takes.',
    );
    return reasons;
  }
  if (known.error !== undefined)
    reasons.push(`It could not be read last time, and is shown as it was known before: ${known.error}.`);
  if (known.missedScans > 0)
    reasons.push(`The registry has not listed it when it was last read in full (${known.missedScans} times).`);
  const held = (await catalog.heldTags(registry)).get(repository);
  const gone = [...(held ?? [])].filter((name) => tag === undefined || name === tag || name === WHOLE_REPOSITORY);
  if (gone.length > 0)
    reasons.push(
      `The registry says that it is gone (${gone.map((name) => (name === WHOLE_REPOSITORY ? 'the repository' : name)).join(', ')}); it is shown until the next full scan says so again.`,
    );
  return reasons;
}

/** Says what the tags lead to that is no image. */
function tagReasons(
  { repository, tag }: ExplainSubject,
  { repositories, manifests }: KnownRegistry,
  wanted: Wanted,
): readonly string[] {
  const known = repositories.get(repository);
  if (known === undefined) return [];
  if (tag !== undefined && !known.tags.has(tag)) return [`The registry had no tag ${tag} when it was last read.`];
  const taken = [...known.tags.values()].filter((record) => wanted.tag(record.tag));
  if (taken.length === 0) {
    const others = [...known.tags.keys()];
    return [
      others.length === 0
        ? 'It has no tags.'
        : `The index takes none of the tags that are known: ${joinNames(others)}.`,
    ];
  }
  return taken.flatMap(({ tag: name, digest }) => {
    const manifest = manifests.get(digest);
    if (manifest === undefined) return [`${name} leads to ${digest}, which could not be read.`];
    if (manifest.kind === 'artifact')
      return [`${name} is no image, but has the type ${manifest.descriptor.mediaType}.`];
    if (manifest.kind === 'image') return [];
    const unread = manifest.manifests.filter((child) => !manifests.has(child));
    return [
      ...(unread.length === 0 ? [] : [`${name} leads to ${joinNames(unread)}, which could not be read.`]),
      ...(manifest.faults ?? []).map((fault) => `${name} leads to something that is not valid: ${fault}.`),
    ];
  });
}

async function explainImages(
  subject: ExplainSubject,
  known: KnownRegistry,
  options: ExplainOptions,
): Promise<readonly ExplainedImage[]> {
  const { definition, catalog } = options;
  const wanted = wantedOf(subject, options);
  const all = selectRepository(subject.repository, known, { ...definition, architectures: undefined }, wanted);
  const digests = digestsOf(all);
  const cache = new ImageCache(catalog);
  const images = await cache.get(definition.registry, digests);
  const outcome = await decide(subject.repository, digests, new FactsCache(cache, definition), options);
  return [...images.values()].map((image): ExplainedImage => {
    const { digest, architecture } = image;
    const tags = tagsOf(all, digest);
    const missing = missingReasons(image, definition);
    const decided = missing.length === 0 ? outcome.of(digest, tags) : { shown: false, reasons: [] };
    const mismatch = decided.shown ? architectureMismatch(image) : undefined;
    return {
      digest,
      tags,
      architecture,
      ref: image.labels[FLATPAK_REF] ?? image.annotations[FLATPAK_REF] ?? '',
      shown: decided.shown,
      reasons: [...missing, ...decided.reasons, ...(mismatch === undefined ? [] : [`Note: ${mismatch}.`])],
    };
  });
}

/** Returns the tags that lead to an image, also by an image index. */
function tagsOf({ images, lists }: SelectedRepository, digest: Digest): readonly string[] {
  return [...images.filter((image) => image.digest === digest), ...lists.filter((list) => list.images.includes(digest))]
    .flatMap(({ tags }) => tags)
    .toSorted();
}

/** Says what an image lacks that the index asks for. */
function missingReasons(
  { architecture, annotations, labels, icons }: Image,
  { name, architectures, requiredAnnotations, requiredLabels }: IndexDefinition,
): readonly string[] {
  const has = (place: 'annotation' | 'label', texts: Readonly<Record<string, string>>) => (key: string) =>
    Object.hasOwn(texts, key) || icons.some((icon) => icon.place === place && icon.key === key);
  const [hasAnnotation, hasLabel] = [has('annotation', annotations), has('label', labels)];
  return [
    ...(architectures?.includes(architecture) === false
      ? [`indexes.${name}.architectures has no ${architecture}: ${joinNames(architectures)}.`]
      : []),
    ...requiredAnnotations
      .filter((key) => !hasAnnotation(key))
      .map((key) => `It has no annotation ${key}, which indexes.${name}.required_annotations asks for.`),
    ...requiredLabels
      .filter((key) => !hasLabel(key))
      .map((key) => `It has no label ${key}, which indexes.${name}.required_labels asks for.`),
  ];
}

/** Decision of the index between a repository and all others that hold the same Flatpak refs. */
interface Outcome {
  /** @param tags those of the image */
  of(digest: Digest, tags: readonly string[]): Pick<ExplainedImage, 'shown' | 'reasons'>;
}

async function decide(
  repository: string,
  digests: readonly Digest[],
  facts: FactsCache,
  { definition, covers, catalog }: ExplainOptions,
): Promise<Outcome> {
  const { registry, name: index, repositoryPriority } = definition;
  const wanted = wantedBy(definition, covers);
  const own = await facts.get(digests);
  const refs = new Set([...own.values()].flatMap((its) => its.refs));
  const holders = refs.size === 0 ? [] : [...(await catalog.repositoriesWithRefs(registry, [...refs])).values()].flat();
  const names = [...new Set([repository, ...holders.filter(wanted.repository)])].toSorted();
  const known = await catalog.known(registry, names);
  const decided = (await decideRepositories(names, known, { catalog, definition, wanted, facts })).map(placedImages);
  const all = await facts.get([...new Set(decided.flat().map(({ digest }) => digest))]);

  /** Returns what clients get instead for a tag; for any tag if `undefined`. */
  const winner = (identity: string, tag: string | undefined): PlacedImage | undefined =>
    decided
      .flat()
      .find(
        (placed) =>
          all.get(placed.digest)?.identities.either === identity &&
          (tag === undefined || (placed.tags.includes(tag) && placed.hidden.either?.includes(tag) === false)),
      );
  const instead = ({ repository: other, digest }: PlacedImage): string =>
    other === repository ? `${digest} of this repository` : `${other} (${digest})`;

  return {
    of: (digest, tags) => {
      const identity = own.get(digest)?.identities.either;
      const its = decided.flat().filter((placed) => placed.repository === repository && placed.digest === digest);
      if (identity === undefined)
        return {
          shown: false,
          reasons: [
            'Flatpak clients skip it: it has no org.flatpak.ref with org.flatpak.metadata, or the index leaves these out. The document of the whole index has it.',
          ],
        };
      if (its.length === 0) {
        const preferred = winner(identity, undefined);
        return {
          shown: false,
          reasons: [
            `indexes.${index}.repository_priority (${joinNames(repositoryPriority)}) prefers ${preferred === undefined ? 'another image' : instead(preferred)} for ${identity}.`,
          ],
        };
      }
      const hidden = tags.filter((tag) =>
        its.every((placed) => placed.hidden.either?.includes(tag) !== false || !placed.tags.includes(tag)),
      );
      return {
        shown: hidden.length < tags.length,
        reasons: hidden.map((tag) => {
          const other = winner(identity, tag);
          return `With the tag ${tag}, clients get ${other === undefined ? 'another image' : instead(other)} instead, which has the same ref and comes first; choose with repository_priority or repository_exclude.`;
        }),
      };
    },
  };
}

interface PlacedImage {
  readonly repository: string;
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly hidden: HiddenTags;
}

/** Lists the images of a repository, also those in image indexes. */
function placedImages({ name: repository, images, lists }: DecidedRepository): readonly PlacedImage[] {
  return [
    ...images.map((image) => ({ ...image, repository })),
    ...lists.flatMap(({ tags, images: inList }) => inList.map((image) => ({ ...image, tags, repository }))),
  ];
}
