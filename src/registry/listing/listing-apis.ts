/** All kinds of APIs that list repositories. */
import { dockerHub } from './docker-hub.ts';
import { forgejo, gitea } from './forgejo.ts';
import { ghcr } from './ghcr.ts';
import { gitlab } from './gitlab.ts';
import { harbor } from './harbor.ts';
import type { ListingApi, Owner } from './listing-api.ts';
import { quay } from './quay.ts';

/** A kind of API, as the configuration calls it. */
export type ListingKind = 'ghcr' | 'docker-hub' | 'quay' | 'gitlab' | 'harbor' | 'forgejo' | 'gitea';

/** The APIs by their kind. */
export const LISTING_APIS: Readonly<Record<ListingKind, ListingApi>> = {
  ghcr,
  'docker-hub': dockerHub,
  quay,
  gitlab,
  harbor,
  forgejo,
  gitea,
};

/** The kinds, for the configuration. */
export const LISTING_KINDS = Object.keys(LISTING_APIS) as ListingKind[];

/** Says whose repositories are listed, and how. Plain values, so that they can be sent to a thread. */
export interface ListingOptions {
  readonly kind: ListingKind;
  readonly owner?: string | undefined;
  readonly namespace?: string | undefined;
  readonly group?: string | undefined;
  readonly project?: string | undefined;
  /** The URL of the API, without a slash at its end. */
  readonly url: string;
  readonly username?: string | undefined;
  readonly token?: string | undefined;
  /** The absolute path of a file that holds the token; read again for each list. */
  readonly tokenFile?: string | undefined;
}

/**
 * Returns whose repositories are listed.
 * @throws TypeError if `listing` does not say so.
 */
export function ownerOf(listing: Omit<ListingOptions, 'url'>): Owner {
  for (const key of LISTING_APIS[listing.kind].ownerKeys) {
    const name = listing[key];
    if (name !== undefined) return { key, name };
  }
  throw new TypeError(`a listing of the kind ${listing.kind} must say whose repositories it has`);
}

/** The URL of the API of a registry; `undefined` if it must be configured. */
export function listingUrl(kind: ListingKind, registry: string): string | undefined {
  const { urls } = LISTING_APIS[kind];
  const { host, origin } = new URL(registry);
  return urls === 'same' ? origin : urls[host];
}

/** The kind of API that lists the repositories of a well-known registry; `undefined` for others. */
export function listingKindOf(host: string): ListingKind | undefined {
  return LISTING_KINDS.find((kind) => {
    const { urls } = LISTING_APIS[kind];
    return urls !== 'same' && Object.hasOwn(urls, host);
  });
}
