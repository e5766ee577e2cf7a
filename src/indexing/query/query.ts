/** A question to an index (flatpak-oci-specs, registry-index.md, "Requests"; Flagstate's `:matches`). */

const REF = 'org.flatpak.ref';

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

/** Where Flatpak clients look for the ref of an image; those before Flatpak 1.6 in an annotation. */
const REF_FIELDS = ['label', 'annotation'] as const;
export type RefField = (typeof REF_FIELDS)[number];

/** Where `query` wants images to have a ref: it is Flatpak's, whatever else it asks. Its tags are those with which clients get an image. */
export function asksForRefs({ conditions }: Query): readonly RefField[] {
  return REF_FIELDS.filter((wanted) => conditions.some(({ field, key, operator }) => field === wanted && key === REF && operator === 'exists'));
}

/** The query string of `conditions` in its one canonical spelling. */
export function canonicalQuery(conditions: readonly Condition[]): string {
  return conditions
    .flatMap((condition) => condition.values.map((value) => `${encodeURIComponent(parameterName(condition))}=${encodeURIComponent(value)}`))
    .toSorted()
    .join('&');
}

/** How a query string names what a condition looks at. */
export function parameterName({ field, key, operator }: Condition): string {
  return [field, ...(key === undefined ? [] : [key]), ...(operator === 'is' ? [] : [operator])].join(':');
}

/**
 * The question that a Flatpak client asks for the images of one tag and architecture (`flatpak_oci_index_ensure_cached`).
 * Those before Flatpak 1.6 look for the ref in an `annotation`.
 */
export function flatpakQuery(tag: string, architecture: string, field: RefField = 'label'): Query {
  const ref: Condition = { field, key: REF, operator: 'exists', values: ['1'] };
  const conditions: readonly Condition[] = [
    ...(field === 'annotation' ? [ref] : []),
    { field: 'architecture', operator: 'is', values: [architecture] },
    ...(field === 'label' ? [ref] : []),
    { field: 'os', operator: 'is', values: ['linux'] },
    { field: 'tag', operator: 'is', values: [tag] },
  ];
  return { conditions, canonical: canonicalQuery(conditions) };
}

/** The tag and architecture that a Flatpak client asks for; `undefined` if `query` asks for anything else. */
export function flatpakQuestion({ conditions, canonical }: Query): { readonly field: RefField; readonly tag: string; readonly architecture: string } | undefined {
  const value = (wanted: Field): string => conditions.find(({ field }) => field === wanted)?.values[0] ?? '';
  const [tag, architecture] = [value('tag'), value('architecture')];
  const field = REF_FIELDS.find((where) => flatpakQuery(tag, architecture, where).canonical === canonical);
  return field && { field, tag, architecture };
}
