/** Decides which images an index shows of some repositories, and which of them clients get where several are the same. */
import { hash } from 'node:crypto';
import type { Digest } from '../../registry/digest.ts';
import type { Catalog, KnownRegistry } from '../../store/catalog.ts';
import type { HiddenTags } from '../render/document.ts';
import type { Wanted } from './wanted.ts';
import type { FactsCache, ImageFacts } from './image-facts.ts';
import type { IndexDefinition } from '../index-definition.ts';
import { prefer } from './prefer.ts';
import { digestsOf, filterImages, flatten, selectRepository, type SelectedRepository } from './select.ts';
import { type Contest, Winners } from './winners.ts';

/** An image in its place, by digest alone. */
export interface DecidedImage {
  readonly digest: Digest;
  readonly hidden: HiddenTags;
}

/** What an index shows of a repository, by digest alone; both parts sorted by their tags. */
export interface DecidedRepository {
  readonly name: string;
  readonly images: readonly (DecidedImage & { readonly tags: readonly string[] })[];
  readonly lists: readonly { readonly tags: readonly string[]; readonly digest: Digest; readonly mediaType: string; readonly images: readonly DecidedImage[] }[];
  /** Images of it, or of others, of which clients get another one. */
  readonly contests: readonly string[];
}

export interface DecideOptions {
  readonly catalog: Catalog;
  readonly definition: IndexDefinition;
  readonly wanted: Wanted;
  readonly facts: FactsCache;
}

/** How many images a repository shows. */
export function imageCountOf({ images, lists }: DecidedRepository): number {
  return lists.reduce((sum, list) => sum + list.images.length, images.length);
}

/** Names all that a rendered repository depends on, but for the definition of the index. */
export function inputOf(repository: Pick<DecidedRepository, 'name' | 'images' | 'lists'>): string {
  return hash('sha256', JSON.stringify([repository.name, repository.images, repository.lists]));
}

/**
 * What the index shows of the repositories `names`, in their order.
 * @param known of these repositories, or of the whole registry
 * @throws StoreError
 */
export async function decideRepositories(names: readonly string[], known: KnownRegistry, options: DecideOptions): Promise<readonly DecidedRepository[]> {
  const own = await select(names, known, options);
  const refs = new Set(own.repositories.flatMap((repository) => digestsOf(repository).flatMap((digest) => own.facts.get(digest)?.refs ?? [])));
  const rivals = await findRivals(refs, names, options);
  const facts = new Map([...own.facts, ...rivals.facts]);
  const contests = new Map<string, Set<string>>();
  const onContest = ({ identity, message }: Contest): void => void contests.set(identity, (contests.get(identity) ?? new Set()).add(message));

  const { definition } = options;
  const all = [...own.repositories, ...rivals.repositories].toSorted((a, b) => compare(a.name, b.name));
  const preferred = definition.repositoryPriority.length === 0 ? all : prefer(all, definition, (digest) => facts.get(digest)?.identities.either, onContest);
  const placed = definition.lists === 'flatten' ? preferred.map(flatten) : preferred;
  const hide = hiding(facts);
  const decided = new Map(placed.map((repository) => [repository.name, hide.in(repository)]));
  for (const contest of hide.contests()) onContest(contest);
  return own.repositories.map(({ name }) => {
    const { images, lists } = decided.get(name) ?? { images: [], lists: [] };
    const its = digestsOf(own.byName.get(name) as SelectedRepository).flatMap((digest) => Object.values((facts.get(digest) as ImageFacts).identities));
    return { name, images, lists, contests: [...new Set(its.flatMap((identity) => [...(contests.get(identity ?? '') ?? [])]))].toSorted() };
  });
}

interface Selection {
  readonly repositories: readonly SelectedRepository[];
  readonly byName: ReadonlyMap<string, SelectedRepository>;
  readonly facts: ReadonlyMap<Digest, ImageFacts>;
}

/** The images that the index takes of some repositories and that have what it requires. */
async function select(names: readonly string[], known: KnownRegistry, { definition, wanted, facts }: DecideOptions): Promise<Selection> {
  const selected = names.map((name) => (wanted.repository(name) ? selectRepository(name, known, definition, wanted) : { name, images: [], lists: [] }));
  const found = await facts.get([...new Set(selected.flatMap(digestsOf))]);
  const repositories = selected.map((repository) => filterImages(repository, (digest) => found.get(digest)?.shown === true));
  return { repositories, byName: new Map(repositories.map((repository) => [repository.name, repository])), facts: found };
}

/** The other repositories that the index takes and that hold one of `refs`, with all that they show. */
async function findRivals(refs: ReadonlySet<string>, names: readonly string[], options: DecideOptions): Promise<Selection> {
  const { catalog, definition: { registry }, wanted } = options;
  const own = new Set(names);
  const holders = refs.size === 0 ? new Map<string, readonly string[]>() : await catalog.repositoriesWithRefs(registry, [...refs]);
  const rivals = [...new Set([...holders.values()].flat())].filter((name) => !own.has(name) && wanted.repository(name));
  if (rivals.length === 0) return { repositories: [], byName: new Map(), facts: new Map() };
  return select(rivals, await catalog.known(registry, rivals), options);
}

const NONE_HIDDEN: HiddenTags = { label: [], annotation: [], either: [] };

/** Finds the tags with which clients get another image; repositories are to be given in the order of the document. */
function hiding(facts: ReadonlyMap<Digest, ImageFacts>) {
  const winners = { label: new Winners(), annotation: new Winners(), either: new Winners() };
  const hiddenOf = (repository: string, tags: readonly string[], digest: Digest): HiddenTags => {
    const { label, annotation, either } = (facts.get(digest) as ImageFacts).identities;
    const hidden = { label: winners.label.add(repository, tags, label), annotation: winners.annotation.add(repository, tags, annotation), either: either === undefined ? undefined : winners.either.add(repository, tags, either) };
    return hidden.label.length + hidden.annotation.length + (hidden.either?.length ?? 1) === 0 ? NONE_HIDDEN : hidden;
  };
  return {
    in: ({ name, images, lists }: SelectedRepository): Pick<DecidedRepository, 'images' | 'lists'> => ({
      images: images.map((image) => ({ ...image, hidden: hiddenOf(name, image.tags, image.digest) })),
      lists: lists.map((list) => ({ ...list, images: list.images.map((digest) => ({ digest, hidden: hiddenOf(name, list.tags, digest) })) })),
    }),
    /** Those of `either` are all that the others have, and more. */
    contests: (): Iterable<Contest> => winners.either.contests(),
  };
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
