/** The deltas of one index: which it wants, and which it shows. */
import type { Digest } from '../../registry/digest.ts';
import type { Deltas, MadeDelta, ReplacedImage, WantedDelta } from '../../store/deltas.ts';
import type { DeltaDefinition } from '../index-definition.ts';
import type { DecidedImage, DecidedRepository } from '../select/decide.ts';
import type { FactsCache } from '../select/image-facts.ts';

/** Options of {@link IndexDeltas}. */
export interface IndexDeltasOptions {
  readonly deltas: Deltas;
  readonly registry: string;
  readonly definition: DeltaDefinition;
  readonly facts: FactsCache;
}

/** Finds deltas for repositories as an index shows them. */
export class IndexDeltas {
  readonly #options: IndexDeltasOptions;
  #wanted = new Map<string, readonly WantedDelta[]>();

  constructor(options: IndexDeltasOptions) {
    this.#options = options;
  }

  /**
   * Returns repositories with the deltas that lead to their images, and remembers which are wanted.
   * @throws StoreError
   */
  async addTo(repositories: readonly DecidedRepository[]): Promise<readonly DecidedRepository[]> {
    const { deltas, registry, facts } = this.#options;
    const replaced = await deltas.replaced(
      registry,
      repositories.map(({ name }) => name),
    );
    const targets: Digest[] = [];
    for (const repository of repositories) {
      const its = replaced.get(repository.name);
      const images = its === undefined ? new Map<Digest, ReadonlySet<string>>() : tagsOf(repository);
      const platforms = await facts.get([...images.keys()]);
      const wanted = [...images].flatMap(([target, tags]) =>
        this.#sourcesOf(target, tags, platforms.get(target)?.deltaPlatform, its ?? []),
      );
      this.#wanted.set(repository.name, wanted);
      targets.push(...wanted.map(({ target }) => target));
    }
    if (targets.length === 0) return repositories;
    const made = Map.groupBy(await deltas.made(registry, [...new Set(targets)]), ({ target }) => target);
    return repositories.map((repository) => this.#withDeltas(repository, made));
  }

  /** Removes and returns what is wanted, by repository. */
  take(): ReadonlyMap<string, readonly WantedDelta[]> {
    const wanted = this.#wanted;
    this.#wanted = new Map();
    return wanted;
  }

  /** Returns the deltas to an image from those that it replaced, the last of them first. */
  #sourcesOf(
    target: Digest,
    tags: ReadonlySet<string>,
    platform: string | undefined,
    replaced: readonly ReplacedImage[],
  ): readonly WantedDelta[] {
    const { keep, max } = this.#options.definition;
    const since = Date.now() - keep;
    const sources = replaced.filter(
      ({ tag, os, architecture, digest, at }) =>
        `${os}/${architecture}` === platform && tags.has(tag) && digest !== target && at >= since,
    );
    return [...new Set(sources.map(({ digest }) => digest))]
      .slice(0, max)
      .map((source, rank) => ({ source, target, rank }));
  }

  #withDeltas(repository: DecidedRepository, made: ReadonlyMap<Digest, readonly MadeDelta[]>): DecidedRepository {
    const wanted = Map.groupBy(this.#wanted.get(repository.name) ?? [], ({ target }) => target);
    const add = <T extends DecidedImage>(image: T): T => {
      const sources = new Set(wanted.get(image.digest)?.map(({ source }) => source));
      const deltas = (made.get(image.digest) ?? []).filter((delta) => sources.has(delta.source) && this.#suits(delta));
      return deltas.length === 0 ? image : { ...image, deltas };
    };
    return {
      ...repository,
      images: repository.images.map(add),
      lists: repository.lists.map((list) => ({ ...list, images: list.images.map(add) })),
    };
  }

  #suits({ size, layerSize }: MadeDelta): boolean {
    const { maxRatio, minSize, maxLayer } = this.#options.definition;
    return size <= maxRatio * layerSize && layerSize >= minSize && layerSize <= maxLayer;
  }
}

/** Returns the images of a repository, each with all its tags. */
function tagsOf({ images, lists }: DecidedRepository): ReadonlyMap<Digest, ReadonlySet<string>> {
  const found = new Map<Digest, Set<string>>();
  const add = (digest: Digest, tags: readonly string[]): void =>
    void found.set(digest, new Set([...(found.get(digest) ?? []), ...tags]));
  for (const { digest, tags } of images) add(digest, tags);
  for (const list of lists) for (const { digest } of list.images) add(digest, list.tags);
  return found;
}
