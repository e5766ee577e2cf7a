/** Parses query strings (flatpak-oci-specs, registry-index.md, "Requests"). */
import type { Condition, Field, Query } from './query.ts';
import { canonicalQuery } from './query.ts';

/** Longest query string, in characters. */
const MAX_QUERY_LENGTH = 8 * 1024;
const MAX_PARAMETERS = 64;
const KNOWN =
  'repository, tag, tag:matches, os, architecture, label:KEY, label:KEY:exists, label:KEY:matches, annotation:KEY, annotation:KEY:exists, annotation:KEY:matches';

/** Thrown for a question that is not valid or too large; the message names the parameter and says what to do. */
export class QueryError extends Error {
  override readonly name = 'QueryError';
  /** HTTP status of the response. */
  readonly statusCode: 400 | 414;

  constructor(statusCode: 400 | 414, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

/**
 * Parses the part of a URL after its `?`.
 * @throws QueryError
 */
export function parseQuery(text: string): Query {
  if (text.length > MAX_QUERY_LENGTH) {
    throw new QueryError(
      414,
      `The query has ${text.length} characters, more than ${MAX_QUERY_LENGTH}; ask for less at once.`,
    );
  }
  const parameters = text.split('&').filter((parameter) => parameter !== '');
  if (parameters.length > MAX_PARAMETERS) {
    throw new QueryError(
      400,
      `The query has ${parameters.length} parameters, more than ${MAX_PARAMETERS}; ask for less at once.`,
    );
  }

  const byName = new Map<string, { condition: Omit<Condition, 'values'>; values: Set<string> }>();
  for (const parameter of parameters) {
    const equals = parameter.indexOf('=');
    const name = decode(equals === -1 ? parameter : parameter.slice(0, equals));
    const value = equals === -1 ? '' : decode(parameter.slice(equals + 1));
    const { condition, values } = byName.get(name) ?? { condition: parseName(name), values: new Set<string>() };
    if (condition.operator === 'exists' && value !== '1') {
      throw new QueryError(400, `${quoted(name)} only takes the value 1, not ${quoted(value)}.`);
    }
    byName.set(name, { condition, values: values.add(value) });
  }

  const conditions = [...byName]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { condition, values }]): Condition => ({ ...condition, values: [...values].toSorted() }));
  return { conditions, canonical: canonicalQuery(conditions) };
}

/**
 * Parses the name of a parameter. Keys may contain colons: the field is taken from the front, the operator from the
 * end.
 */
function parseName(name: string): Omit<Condition, 'values'> {
  if (name === 'repository' || name === 'tag' || name === 'os' || name === 'architecture')
    return { field: name, operator: 'is' };
  if (name === 'tag:matches') return { field: 'tag', operator: 'matches' };
  const [, field, key, operator = 'is'] = /^(label|annotation):([^]+?)(?::(exists|matches))?$/.exec(name) ?? [];
  if (field === undefined || key === undefined || /^:(?:exists|matches)$/.test(key)) {
    throw new QueryError(400, `The query parameter ${quoted(name)} is not known. Known are ${KNOWN}.`);
  }
  return { field: field as Field, key, operator: operator as Condition['operator'] };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new QueryError(400, `The query contains ${quoted(text)}, which is not percent-encoded UTF-8.`);
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
