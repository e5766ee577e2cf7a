/** Lists the repositories of a registry (Distribution API, "Catalog"). */
import { isRepositoryName } from '../reference.ts';
import { answerError } from './transport/answer-error.ts';
import { pages } from './transport/pages.ts';
import type { Transport } from './transport/transport.ts';

/** Hosted registries answer so where they do not show the catalog. */
const NO_CATALOG: ReadonlySet<number> = new Set([401, 403, 404, 405]);

/** The names, page by page in the registry's order; what breaks the grammar of names is left out. */
export async function* catalog(transport: Transport, signal: AbortSignal | undefined): AsyncGenerator<readonly string[]> {
  const list = pages(transport, {
    path: `${transport.base}/_catalog?n=1000`,
    scope: 'registry:catalog:*',
    key: 'repositories',
    refused: (response) =>
      NO_CATALOG.has(response.status)
        ? answerError(response, {
            code: 'no-catalog',
            advice: `the registry does not list its repositories to this client: name them in registries.${transport.url}.repositories`,
          })
        : answerError(response),
    signal,
  });
  for await (const page of list) yield page.filter(isRepositoryName);
}
