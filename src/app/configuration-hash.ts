/** Tells configurations apart that would publish something else. */
import { hash } from 'node:crypto';
import type { Config, RegistryConfig } from '../config/config.ts';
import { compareTexts } from '../system/compare-texts.ts';
import { definitionOf } from './indexing-options.ts';

/** Returns a hash of all that changes what is published. */
export function configurationHash({ indexes, registries, iconsUri }: Config): string {
  const published = {
    // Where a replica writes its own copy does not matter to the others.
    indexes: indexes
      .map((index) => ({ ...definitionOf(index), output: undefined }))
      .toSorted((a, b) => compareTexts(a.name, b.name)),
    registries: [...registries.values()].map(selectionOf).toSorted((a, b) => compareTexts(a.id, b.id)),
    iconsUri,
  };
  return hash('sha256', JSON.stringify(published));
}

/** Returns what decides which repositories are read; logins may differ. */
function selectionOf({ id, repositories, listing }: RegistryConfig) {
  const { username: _username, token: _token, tokenFile: _tokenFile, ...listed } = listing ?? {};
  return { id, repositories, listed };
}
