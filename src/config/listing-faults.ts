/** Rules between the keys of a list of repositories, which depend on its kind. */
import { OWNER_KEYS } from '../registry/listing/listing-api.ts';
import { LISTING_APIS, listingUrl, type ListingOptions } from '../registry/listing/listing-apis.ts';
import { shown, type Fault, type KeyPath } from './problems.ts';

/** The section `listing`, where keys that were wrong are missing. */
export interface ListingSection extends Omit<ListingOptions, 'url' | 'tokenFile'> {
  readonly url?: string | undefined;
  readonly token_file?: string | undefined;
}

/** Finds the broken rules of the section at `path`, of the registry at the URL `registry`. */
export function* listingFaults(path: KeyPath, registry: string, listing: ListingSection): Iterable<Fault> {
  yield* ownerFaults(path, listing);
  if (listing.url === undefined && listingUrl(listing.kind, registry) === undefined)
    yield [path, 'does not say where the API for this registry is, expected it in url', 'key'];
  yield* loginFaults(path, listing);
}

/** Exactly one key says whose repositories are listed, one of the kind. */
function* ownerFaults(path: KeyPath, listing: ListingSection): Iterable<Fault> {
  const { kind, project } = listing;
  const { ownerKeys } = LISTING_APIS[kind];
  const given = OWNER_KEYS.filter((key) => listing[key] !== undefined);
  const [own, ...others] = given.filter((key) => ownerKeys.includes(key));
  for (const key of given) {
    if (!ownerKeys.includes(key))
      yield [[...path, key], `does not belong to the kind ${kind}, expected ${ownerKeys.join(' or ')}`, 'key'];
  }
  for (const key of others) yield [[...path, key], `is given beside ${own}, expected only one of them`, 'key'];
  if (given.length === 0)
    yield [path, `does not say whose repositories to list, expected ${ownerKeys.join(' or ')} in it`, 'key'];
  if (kind === 'harbor' && project?.includes('/') === true)
    yield [[...path, 'project'], `is ${shown(project)}, expected the name of a project, without a slash`];
}

/** A token is there where it is needed, and has its user where that is needed. */
function* loginFaults(path: KeyPath, listing: ListingSection): Iterable<Fault> {
  const { kind, username, token, token_file: tokenFile } = listing;
  const { login, needsToken = false, expectedToken } = LISTING_APIS[kind];
  const hasToken = token !== undefined || tokenFile !== undefined;
  if (token !== undefined && tokenFile !== undefined)
    yield [[...path, 'token_file'], 'is given beside token, expected only one of them', 'key'];
  if (needsToken && !hasToken) yield [path, `has no token, expected ${expectedToken}, in token or token_file`, 'key'];
  if (username === undefined && hasToken && login === 'token of a required user')
    yield [path, 'has a token without username, expected both', 'key'];
  if (username !== undefined && login === 'token')
    yield [[...path, 'username'], `does not belong to the kind ${kind}, expected the token alone`, 'key'];
  else if (username !== undefined && !hasToken)
    yield [[...path, 'username'], 'is given without a token, expected both or neither', 'key'];
}
