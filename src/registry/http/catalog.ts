/** Lists the repositories of a registry (Distribution API, "Catalog"). */
import { isRepositoryName } from '../reference.ts';
import { RegistryError } from '../registry-error.ts';
import { registryKey } from '../registry-id.ts';
import { loginAdvice } from './access/login.ts';
import { answerError } from './transport/answer-error.ts';
import type { Subject } from './transport/authenticator.ts';
import { pages, type Paging } from './transport/pages.ts';
import type { Transport } from './transport/transport.ts';

/** What requests for the catalog are about. */
export const CATALOG: Subject = { repository: undefined, scope: 'registry:catalog:*' };
/** Hosted registries answer so where they do not show the catalog. */
const NO_CATALOG: ReadonlySet<number> = new Set([401, 403, 404, 405]);

const MAX_PAGE_BYTES = 64 * 1024 * 1024;
const MAX_REPOSITORIES = 1_000_000;

/** The names, page by page in the registry's order; what breaks the grammar of names is left out. */
export async function* catalog(transport: Transport, paging: Paging, signal: AbortSignal | undefined): AsyncGenerator<readonly string[]> {
  const advice = `the registry does not list its repositories to this client: name them in ${registryKey(transport.url, 'repositories')}, or log in as somebody to whom it does`;
  const list = pages(transport, {
    path: `${transport.base}/_catalog`,
    subject: CATALOG,
    key: 'repositories',
    maxPageBytes: MAX_PAGE_BYTES,
    maxEntries: MAX_REPOSITORIES,
    refused: (response) => {
      if (response.loginRefused) return answerError(response, { code: 'no-catalog', advice: loginAdvice(transport.url, true) });
      return answerError(response, NO_CATALOG.has(response.status) ? { code: 'no-catalog', advice } : {});
    },
    paging,
    signal,
  });
  let listed = false;
  try {
    for await (const page of list) {
      listed = true;
      yield page.filter(isRepositoryName);
    }
  } catch (error) {
    // A realm may refuse the token for it.
    if (listed || !(error instanceof RegistryError && error.code === 'denied')) throw error;
    throw new RegistryError('no-catalog', `${error.message}; ${advice}`, { cause: error });
  }
}
