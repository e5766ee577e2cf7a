/** Decides which images of some repositories an index shows, and which of several with the same ref clients get. */
import { hash } from 'node:crypto';
import { compareTexts } from '../../system/compare-texts.ts';
import type { Digest } from '../../registry/digest.ts';
import type { Catalog, KnownRegistry } from '../../store/catalog.ts';
import type { MadeDelta } from '../../store/deltas.ts';
import type { HiddenTags } from '../render/document.ts';
import type { Wanted } from './wanted.ts';
import type { FactsCache, ImageFacts } from './image-facts.ts';
import type { IndexDefinition } from '../index-definition.ts';
import { prefer } from './prefer.ts';
import { digestsOf, filterImages, flatten, selectRepository, type SelectedRepository } from './select.ts';
import { type Contest, Winners } from './winners.ts';

/** An image that is shown, by digest. */
export interface DecidedImage {
  readonly digest: Digest;
  readonly hidden: HiddenTags;
  /** Deltas that lead to it; absent if there are none. */
  readonly deltas?: readonly MadeDelta[];
}

/** A repository as an index shows it, by digest; images and lists are sorted by their tags. */
export interface DecidedRepository {
  readonly name: string;
  readonly images: readonly (DecidedImage & { readonly tags: readonly string[] })[];
  readonly lists: readonly {
    readonly tags: readonly string[];
    readonly digest: Digest;
    readonly mediaType: string;
    readonly images: readonly DecidedImage[];
  }[];
  /** Messages about images of this repository and others that compete for the same ref. */
  readonly contests: readonly string[];
}

/** Options of {@link decideRepositories}. */
export interface DecideOptions {
  readonly catalog: Catalog;
  readonly definition: IndexDefinition;
  readonly wanted: Wanted;
  readonly facts: FactsCache;
}

/** Returns the number of images that a repository shows. */
export function imageCountOf({ images, lists }: DecidedRepository): number {
  return lists.reduce((sum, list) => sum + list.images.length, images.length);
}

/** Hashes everything that a rendered repository depends on, except for the definition of the index. */
export function inputOf(repository: Pick<DecidedRepository, 'name' | 'images' | 'lists'>): string {
  return hash('sha256', JSON.stringify([repository.name, repository.images, repository.lists]));
}

/**
 * Decides what the index shows of the repositories `names`, in their order.
 * @param known these repositories, or the whole registry
 * @throws StoreError
 */
export async function decideRepositories(
  names: readonly string[],
  known: KnownRegistry,
  options: DecideOptions,
): Promise<readonly DecidedRepository[]> {
  const own = await select(names, known, options);
  const refs = new Set(
    own.repositories.flatMap((repository) =>
      digestsOf(repository).flatMap((digest) => own.facts.get(digest)?.refs ?? []),
    ),
  );
  const rivals = await findRivals(refs, names, options);
  const facts = new Map([...own.facts, ...rivals.facts]);
  const contests = new Map<string, Set<string>>();
  const onContest = ({ identity, message }: Contest): void =>
    void contests.set(identity, (contests.get(identity) ?? new Set()).add(message));

  const { definition } = options;
  const all = [...own.repositories, ...rivals.repositories].toSorted((a, b) => compareTexts(a.name, b.name));
  const preferred =
    definition.repositoryPriority.length === 0
      ? all
      : prefer(all, definition, (digest) => facts.get(digest)?.identities.either, onContest);
  const placed = definition.lists === 'flatten' ? preferred.map(flatten) : preferred;
  const hide = hiding(facts);
  const decided = new Map(placed.map((repository) => [repository.name, hide.in(repository)]));
  for (const contest of hide.contests()) onContest(contest);
  return own.repositories.map(({ name }) => {
    const { images, lists } = decided.get(name) ?? { images: [], lists: [] };
    const its = digestsOf(own.byName.get(name) as SelectedRepository).flatMap((digest) =>
      Object.values((facts.get(digest) as ImageFacts).identities),
    );
    return {
      name,
      images,
      lists,
      contests: [...new Set(its.flatMap((identity) => [...(contests.get(identity ?? '') ?? [])]))].toSorted(),
    };
  });
}

interface Selection {
  readonly repositories: readonly SelectedRepository[];
  readonly byName: ReadonlyMap<string, SelectedRepository>;
  readonly facts: ReadonlyMap<Digest, ImageFacts>;
}

/** Selects the images of some repositories that the index takes and that have what it requires. */
async function select(
  names: readonly string[],
  known: KnownRegistry,
  { definition, wanted, facts }: DecideOptions,
): Promise<Selection> {
  const selected = names.map((name) =>
    wanted.repository(name) ? selectRepository(name, known, definition, wanted) : { name, images: [], lists: [] },
  );
  const found = await facts.get([...new Set(selected.flatMap(digestsOf))]);
  const repositories = selected.map((repository) =>
    filterImages(repository, (digest) => found.get(digest)?.shown === true),
  );
  return {
    repositories,
    byName: new Map(repositories.map((repository) => [repository.name, repository])),
    facts: found,
  };
}

/** Selects the images of all other repositories that the index takes and that hold one of `refs`. */
async function findRivals(
  refs: ReadonlySet<string>,
  names: readonly string[],
  options: DecideOptions,
): Promise<Selection> {
  const {
    catalog,
    definition: { registry },
    wanted,
  } = options;
  const own = new Set(names);
  const holders =
    refs.size === 0 ? new Map<string, readonly string[]>() : await catalog.repositoriesWithRefs(registry, [...refs]);
  const rivals = [...new Set([...holders.values()].flat())].filter((name) => !own.has(name) && wanted.repository(name));
  if (rivals.length === 0) return { repositories: [], byName: new Map(), facts: new Map() };
  return select(rivals, await catalog.known(registry, rivals), options);
}

const NONE_HIDDEN: HiddenTags = { label: [], annotation: [], either: [] };

/** Finds the tags for which clients get another image; takes repositories in the order of the document. */
function hiding(facts: ReadonlyMap<Digest, ImageFacts>) {
  const winners = { label: new Winners(), annotation: new Winners(), either: new Winners() };
  const hiddenOf = (repository: string, tags: readonly string[], digest: Digest): HiddenTags => {
    const { label, annotation, either } = (facts.get(digest) as ImageFacts).identities;
    const hidden = {
      label: winners.label.add(repository, tags, label),
      annotation: winners.annotation.add(repository, tags, annotation),
      either: either === undefined ? undefined : winners.either.add(repository, tags, either),
    };
    return hidden.label.length + hidden.annotation.length + (hidden.either?.length ?? 1) === 0 ? NONE_HIDDEN : hidden;
  };
  return {
    in: ({ name, images, lists }: SelectedRepository): Pick<DecidedRepository, 'images' | 'lists'> => ({
      images: images.map((image) => ({ ...image, hidden: hiddenOf(name, image.tags, image.digest) })),
      lists: lists.map((list) => ({
        ...list,
        images: list.images.map((digest) => ({ digest, hidden: hiddenOf(name, list.tags, digest) })),
      })),
    }),
    /** Contests of `either` include those of `label` and `annotation`. */
    contests: (): Iterable<Contest> => winners.either.contests(),
  };
}
