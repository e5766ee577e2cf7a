/** Warnings for administrators about each index: about its configuration and its publication. */
import { indexWarnings, takesDefaultTag } from '../config/config-warnings.ts';
import type { Config } from '../config/config.ts';
import { joinNeeds, missingRuntimes, type RuntimeNeeds } from '../indexing/appdata/runtime-needs.ts';
import type { Chunk } from '../indexing/chunk/chunk.ts';
import { Warnings } from '../indexing/warnings.ts';
import { messageOf } from '../system/message-of.ts';
import { LayoutRegistrySource } from '../registry/layout/layout-registry-source.ts';
import { LAYOUT_PREFIX } from '../registry/registry-id.ts';
import { PublicationLoader } from '../server/documents/publication-loader.ts';
import { ServedIndex } from '../server/documents/served-index.ts';
import type { SqlitePublicationReader } from '../store/sqlite/sqlite-publications.ts';
import { SqliteStore } from '../store/sqlite/sqlite-store.ts';

/** The part of a publication that leads to warnings. */
interface PublishedContent {
  readonly warnings: readonly string[];
  readonly needs: RuntimeNeeds;
}

/** Cache by the chunks of a publication. */
const contents = new WeakMap<readonly Chunk[], PublishedContent>();

/** Collects warnings and runtime needs of an index that consists of `chunks`. */
export function contentOf(chunks: readonly Chunk[]): PublishedContent {
  let content = contents.get(chunks);
  if (content === undefined) {
    content = readContent(chunks);
    contents.set(chunks, content);
  }
  return content;
}

function readContent(chunks: readonly Chunk[]): PublishedContent {
  const warnings = new Warnings();
  for (const chunk of chunks) for (const warning of chunk.warnings) warnings.add(warning);
  return { warnings: warnings.toArray(), needs: joinNeeds(chunks.map(({ needs }) => needs)) };
}

/** Returns all warnings by the index's name. */
export function allIndexWarnings(
  config: Config,
  published: ReadonlyMap<string, PublishedContent>,
): ReadonlyMap<string, readonly string[]> {
  const content = contentWarnings(config, published);
  return new Map(
    config.indexes.map((index) => [index.name, [...indexWarnings(config, index), ...(content.get(index.name) ?? [])]]),
  );
}

/** Returns the warnings about publications by the index's name. */
export function contentWarnings(
  { indexes }: Config,
  published: ReadonlyMap<string, PublishedContent>,
): ReadonlyMap<string, readonly string[]> {
  const available = new Set([...published.values()].flatMap(({ needs }) => needs.runtimes));
  return new Map(
    indexes.flatMap((index) => {
      const content = published.get(index.name);
      if (content === undefined) return [];
      const missing = new Warnings();
      if (index.runtimeRepo === undefined)
        for (const warning of missingRuntimes(content.needs, available)) missing.add(warning);
      const untagged =
        content.needs.flatpaks === 0 || content.needs.offered > 0 || !takesDefaultTag(index)
          ? []
          : [
              'none of its Flatpaks has the tag latest, which Flatpak asks for unless the URL of its remote ends with another',
            ];
      return [[index.name, [...untagged, ...content.warnings, ...missing.toArray()]]];
    }),
  );
}

/** Returns warnings about the names of image layouts in `oci:` folders. */
export async function layoutWarnings({ registries }: Config): Promise<readonly string[]> {
  const sources = [...registries.values()]
    .filter(({ id }) => id.startsWith(LAYOUT_PREFIX))
    .map(({ id, repositories }) => new LayoutRegistrySource(id.slice(LAYOUT_PREFIX.length), { repositories }));
  const warnings = await Promise.all(
    sources.map(async (source) => {
      try {
        for await (const _ of source.repositories());
        return source.warnings;
      } catch (error) {
        return [messageOf(error)];
      }
    }),
  );
  return warnings.flat();
}

/** Reads the publication of each index in `stateDir`; leaves out indexes that cannot be read. */
export async function publishedContents({
  stateDir,
  store,
  indexes,
}: Config): Promise<ReadonlyMap<string, PublishedContent>> {
  const published = new Map<string, PublishedContent>();
  // The files there are from before the store was a database.
  if (store !== undefined) return published;
  let reader: SqlitePublicationReader | undefined;
  try {
    reader = SqliteStore.openPublications(stateDir);
    if (reader === undefined) return published;
    const loader = new PublicationLoader(reader);
    for (const index of indexes) {
      const loaded = new ServedIndex({ ...index, maxAge: 0 });
      if (await loader.load(loaded)) published.set(index.name, contentOf(loaded.shown?.chunks ?? []));
    }
  } catch {
    // The next rebuild repairs the store.
  } finally {
    await reader?.close();
  }
  return published;
}
