/** Lists the repositories of a registry (Distribution API, "Catalog"). */
import { isRepositoryName } from '../reference.ts';
import { RegistryError } from '../registry-error.ts';
import { registryKey } from '../registry-id.ts';
import { loginAdvice } from './access/login.ts';
import { answerError } from './transport/answer-error.ts';
import type { Subject } from './transport/authenticator.ts';
import { pages, type Paging } from './transport/pages.ts';
import type { Transport } from './transport/transport.ts';

/** The subject of requests for the catalog. */
export const CATALOG: Subject = { repository: undefined, scope: 'registry:catalog:*' };
/** The answers of hosted registries that do not offer a catalog. */
const NO_CATALOG: ReadonlySet<number> = new Set([401, 403, 404, 405]);

const MAX_PAGE_BYTES = 64 * 1024 * 1024;
const MAX_REPOSITORIES = 1_000_000;

/**
 * The names of all repositories, page by page in the registry's order, without invalid ones.
 * @throws RegistryError `no-catalog` if the registry does not list them to this client.
 */
export async function* catalog(
  transport: Transport,
  paging: Paging,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly string[]> {
  const advice = `the registry does not list its repositories to this client: name them in ${registryKey(transport.url, 'repositories')}, set ${registryKey(transport.url, 'listing')}, or log in as a user who may list them`;
  const list = pages(transport, {
    path: `${transport.base}/_catalog`,
    subject: CATALOG,
    key: 'repositories',
    maxPageBytes: MAX_PAGE_BYTES,
    maxEntries: MAX_REPOSITORIES,
    refused: (response) => {
      if (response.loginRefused)
        return answerError(response, { code: 'no-catalog', advice: loginAdvice(transport.url, true) });
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
    // The realm may refuse a token for the catalog.
    if (listed || !(error instanceof RegistryError && error.code === 'denied')) throw error;
    throw new RegistryError('no-catalog', `${error.message}; ${advice}`, { cause: error });
  }
}
