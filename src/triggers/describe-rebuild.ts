/** A finished rebuild as one line of text, for the log. */
import type { AppChanges } from '../indexing/appdata/app-changes.ts';
import type { IndexResult, RebuildResult } from '../indexing/rebuild.ts';
import { amount } from '../system/amount.ts';
import { joinNames, MAX_NAMED } from '../system/join-names.ts';
import type { Rebuild } from './rebuild.ts';

/**
 * Describes a rebuild without failures, such as `rebuilt apps in 0.09 s: +1 org.example.Hello, 2 images
 * (notification)`.
 */
export function describeRebuild(
  { indexes }: RebuildResult,
  seconds: number,
  rebuild: Pick<Rebuild, 'reasons' | 'otherReasons'>,
): string {
  const changed = indexes.filter((index) => index.changed);
  const time = `in ${seconds.toFixed(2)} s`;
  const reasons = `(${describeReasons(rebuild)})`;
  if (changed.length === 0)
    return `checked ${joinNames(indexes.map(({ index }) => index))} ${time}: nothing changed ${reasons}`;
  const [only] = changed;
  if (only !== undefined && changed.length === 1)
    return `rebuilt ${only.index} ${time}: ${describeIndex(only)} ${reasons}`;
  const shown = changed.slice(0, MAX_NAMED).map((index) => `${index.index} ${describeIndex(index)}`);
  return `rebuilt ${amount(changed.length, 'index', 'indexes')} ${time}: ${shown.join('; ')}${changed.length > MAX_NAMED ? '; …' : ''} ${reasons}`;
}

function describeIndex({ apps, images }: IndexResult): string {
  return [...(apps === undefined ? [] : describeApps(apps)), amount(images, 'image')].join(', ');
}

function describeApps({ added, updated, removed }: AppChanges): readonly string[] {
  const parts = [
    ['+', added],
    ['~', updated],
    ['-', removed],
  ] as const;
  return parts.flatMap(([sign, { count, ids }]) =>
    count === 0 ? [] : [`${sign}${count} ${ids.slice(0, MAX_NAMED).join(' ')}${count > MAX_NAMED ? ' …' : ''}`],
  );
}

function describeReasons({ reasons, otherReasons }: Pick<Rebuild, 'reasons' | 'otherReasons'>): string {
  // The id of the rebuild that failed means nothing to people.
  const named = [...new Set(reasons.map((reason) => (/^rebuild \S+ failed$/.test(reason) ? 'retry' : reason)))];
  return joinNames(named, named.length + otherReasons);
}
