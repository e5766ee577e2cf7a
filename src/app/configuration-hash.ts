/** Tells configurations apart that would publish something else. */
import { hash } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { definitionOf } from './indexing-options.ts';

/** Returns a hash of all that changes what is published. */
export function configurationHash({ indexes, registries, iconsUri }: Config): string {
  const published = {
    // Where a replica writes its own copy does not matter to the others.
    indexes: indexes.map((index) => ({ ...definitionOf(index), output: undefined })),
    registries: [...registries.values()].map(({ id, repositories, listing }) => ({
      id,
      repositories,
      listing: listing && { ...listing, token: undefined, tokenFile: undefined, username: undefined },
    })),
    iconsUri,
  };
  return hash('sha256', JSON.stringify(published));
}
