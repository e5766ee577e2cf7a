/** Explains what each index shows of a repository. */
import { explain, type Explanation, type ExplainSubject } from '../indexing/explain.ts';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import type { Store } from '../store/store.ts';
import type { IndexingOptions } from './indexing-options.ts';

/**
 * Explains what each index shows of a repository, from the catalog: no registry is asked.
 * @throws StoreError
 */
export async function explainAll(
  subject: ExplainSubject,
  { registries, definitions }: Pick<IndexingOptions, 'registries' | 'definitions'>,
  { catalog, publications }: Pick<Store, 'catalog' | 'publications'>,
): Promise<readonly Explanation[]> {
  const explanations: Explanation[] = [];
  for (const definition of definitions) {
    const { repositories = [], listing } = registries.find(({ id }) => id === definition.registry) ?? {};
    const covered = new CoveredRepositories(repositories, listing);
    const covers = (repository: string): boolean => covered.has(repository);
    explanations.push(await explain(subject, { definition, covers, catalog, publications }));
  }
  return explanations;
}
