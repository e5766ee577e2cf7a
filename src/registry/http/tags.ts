/** Lists the tags of a repository (OCI distribution-spec, "Listing Tags"). */
import { isTag } from '../reference.ts';
import { repositoryError, repositorySubject } from './repository.ts';
import { pages, type Paging } from './transport/pages.ts';
import type { Transport } from './transport/transport.ts';

/** Smaller than for the catalog, because many lists are read at once. */
const MAX_PAGE_BYTES = 16 * 1024 * 1024;
/** The most tags of one repository; each may cost a request. */
const MAX_TAGS = 100_000;

/**
 * The valid tags of a repository in code point order, each once.
 * @throws RegistryError, or the signal's reason.
 */
export async function tags(
  transport: Transport,
  repository: string,
  paging: Paging,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const list = pages(transport, {
    path: `${transport.base}/${repository}/tags/list`,
    subject: repositorySubject(repository),
    key: 'tags',
    maxPageBytes: MAX_PAGE_BYTES,
    maxEntries: MAX_TAGS,
    refused: (response) => repositoryError(transport, response),
    paging,
    signal,
  });
  const found = new Set<string>();
  for await (const page of list) {
    for (const tag of page) if (isTag(tag)) found.add(tag);
  }
  // Tags are ASCII, so the order of code units is that of code points.
  return [...found].toSorted();
}
