/** Lists the tags of a repository (OCI distribution-spec, "Listing Tags"). */
import { isTag } from '../reference.ts';
import { repositoryError, repositoryScope } from './repository.ts';
import { pages } from './transport/pages.ts';
import type { Transport } from './transport/transport.ts';

/** The tags in code point order, each once; what breaks the grammar of tags is left out. */
export async function tags(transport: Transport, repository: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const list = pages(transport, {
    path: `${transport.base}/${repository}/tags/list?n=1000`,
    scope: repositoryScope(repository),
    key: 'tags',
    refused: (response) => repositoryError(transport, response),
    signal,
  });
  const found = new Set<string>();
  for await (const page of list) {
    for (const tag of page) if (isTag(tag)) found.add(tag);
  }
  // Tags are ASCII, so that the order of code units is that of code points.
  return [...found].toSorted();
}
