/** Questions to an index (flatpak-oci-specs, registry-index.md, "Requests"; `:matches` is Flagstate's). */
import { FLATPAK_REF } from '../appdata/flatpak-image.ts';

/** Property of an image that a condition is about. */
export type Field = 'repository' | 'tag' | 'os' | 'architecture' | 'label' | 'annotation';

/** A condition, which holds if any of `values` fits: the values of one parameter are alternatives. */
export interface Condition {
  readonly field: Field;
  /** Key of the label or annotation. */
  readonly key?: string;
  readonly operator: 'is' | 'exists' | 'matches';
  /** Distinct and sorted. */
  readonly values: readonly string[];
}

/** A question, all of whose conditions must hold. */
export interface Query {
  readonly conditions: readonly Condition[];
  /** Canonical query string, the same for every spelling and order of the question. Empty if it asks for everything. */
  readonly canonical: string;
}

/** Where Flatpak clients look for the ref of an image: before Flatpak 1.6 in an annotation, since then in a label. */
const REF_FIELDS = ['label', 'annotation'] as const;
/** One of these places. */
export type RefField = (typeof REF_FIELDS)[number];

/**
 * Returns where `query` requires a ref. Such a question is Flatpak's: an image matches only tags for which clients get
 * it.
 */
export function asksForRefs({ conditions }: Query): readonly RefField[] {
  return REF_FIELDS.filter((wanted) =>
    conditions.some(({ field, key, operator }) => field === wanted && key === FLATPAK_REF && operator === 'exists'),
  );
}

/** Returns the canonical query string of `conditions`. */
export function canonicalQuery(conditions: readonly Condition[]): string {
  return conditions
    .flatMap((condition) =>
      condition.values.map((value) => `${encodeURIComponent(parameterName(condition))}=${encodeURIComponent(value)}`),
    )
    .toSorted()
    .join('&');
}

/** Returns the name of a condition's query parameter. */
export function parameterName({ field, key, operator }: Condition): string {
  return [field, ...(key === undefined ? [] : [key]), ...(operator === 'is' ? [] : [operator])].join(':');
}

/**
 * Builds the question of a Flatpak client for one tag and architecture (`flatpak_oci_index_ensure_cached`).
 * @param field `annotation` for clients before Flatpak 1.6
 */
export function flatpakQuery(tag: string, architecture: string, field: RefField = 'label'): Query {
  const ref: Condition = { field, key: FLATPAK_REF, operator: 'exists', values: ['1'] };
  const conditions: readonly Condition[] = [
    ...(field === 'annotation' ? [ref] : []),
    { field: 'architecture', operator: 'is', values: [architecture] },
    ...(field === 'label' ? [ref] : []),
    { field: 'os', operator: 'is', values: ['linux'] },
    { field: 'tag', operator: 'is', values: [tag] },
  ];
  return { conditions, canonical: canonicalQuery(conditions) };
}

/**
 * Returns what a Flatpak client asks for; `undefined` if `query` is another question. Inverse of {@link flatpakQuery}.
 */
export function flatpakQuestion({
  conditions,
  canonical,
}: Query): { readonly field: RefField; readonly tag: string; readonly architecture: string } | undefined {
  const value = (wanted: Field): string => conditions.find(({ field }) => field === wanted)?.values[0] ?? '';
  const [tag, architecture] = [value('tag'), value('architecture')];
  const field = REF_FIELDS.find((where) => flatpakQuery(tag, architecture, where).canonical === canonical);
  return field && { field, tag, architecture };
}
