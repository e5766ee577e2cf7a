/** A question to an index (flatpak-oci-specs, registry-index.md, "Requests"; Flagstate's `:matches`). */

/** What a condition looks at. */
export type Field = 'repository' | 'tag' | 'os' | 'architecture' | 'label' | 'annotation';

/** Holds if any of `values` fits: the values of one parameter are alternatives. */
export interface Condition {
  readonly field: Field;
  /** Of labels and annotations. */
  readonly key?: string;
  readonly operator: 'is' | 'exists' | 'matches';
  /** Distinct and sorted; the same for every order of the question. */
  readonly values: readonly string[];
}

/** All conditions must hold. */
export interface Query {
  readonly conditions: readonly Condition[];
  /** The same for every spelling and order of the same question; itself a query string. Empty for the question for everything. */
  readonly canonical: string;
}

/** The query string of `conditions` in its one canonical spelling. */
export function canonicalQuery(conditions: readonly Condition[]): string {
  return conditions
    .flatMap((condition) => condition.values.map((value) => `${encodeURIComponent(parameterName(condition))}=${encodeURIComponent(value)}`))
    .toSorted()
    .join('&');
}

function parameterName({ field, key, operator }: Condition): string {
  return [field, ...(key === undefined ? [] : [key]), ...(operator === 'is' ? [] : [operator])].join(':');
}

/**
 * The question that a Flatpak client asks for the images of one tag and architecture (`flatpak_oci_index_ensure_cached`).
 * Those before Flatpak 1.6 look for the ref in an `annotation`.
 */
export function flatpakQuery(tag: string, architecture: string, field: 'label' | 'annotation' = 'label'): Query {
  const ref: Condition = { field, key: 'org.flatpak.ref', operator: 'exists', values: ['1'] };
  const conditions: readonly Condition[] = [
    ...(field === 'annotation' ? [ref] : []),
    { field: 'architecture', operator: 'is', values: [architecture] },
    ...(field === 'label' ? [ref] : []),
    { field: 'os', operator: 'is', values: ['linux'] },
    { field: 'tag', operator: 'is', values: [tag] },
  ];
  return { conditions, canonical: canonicalQuery(conditions) };
}
