/** The made-up APIs of all kinds. */
import type { TestContext } from 'node:test';
import type { HttpRegistrySource } from '../../../../src/registry/http/http-registry-source.ts';
import type { HttpRegistryOptions } from '../../../../src/registry/http/http-registry-source.ts';
import type { ListingKind, ListingOptions } from '../../../../src/registry/listing/listing-apis.ts';
import { playRegistry, readRegistry, type Answer, type Played } from '../../http/play-registry.ts';
import { madeUpDockerHub } from './docker-hub.ts';
import { madeUpForgejo } from './forgejo.ts';
import { madeUpGhcr } from './ghcr.ts';
import { madeUpGitlab } from './gitlab.ts';
import { madeUpHarbor } from './harbor.ts';
import { TOKEN, type ApiRequest, type Held, type MadeUpApi } from './made-up-api.ts';
import { madeUpQuay } from './quay.ts';

export const MADE_UP_APIS: Readonly<Record<ListingKind, MadeUpApi>> = {
  ghcr: madeUpGhcr,
  'docker-hub': madeUpDockerHub,
  quay: madeUpQuay,
  gitlab: madeUpGitlab,
  harbor: madeUpHarbor,
  forgejo: madeUpForgejo('forgejo'),
  gitea: madeUpForgejo('gitea'),
};

/** A fault of an API: says whether it has answered the request. */
export type Fault = (request: ApiRequest, response: Parameters<Answer>[1]) => boolean;

/** Starts the API of a kind. */
export async function playApi(t: TestContext, kind: ListingKind, held: Held, fault?: Fault): Promise<Played> {
  return playRegistry(t, (request, response) => {
    if (fault?.(request, response) !== true) MADE_UP_APIS[kind].answer(request, response, held);
  });
}

/**
 * A registry whose repositories the API at `url` lists, with the token unless `listing` says otherwise. Nothing is read
 * of the registry itself.
 */
export function readList(
  t: TestContext,
  kind: ListingKind,
  url: string,
  listing: Partial<ListingOptions> = {},
  options: Partial<HttpRegistryOptions> = {},
): HttpRegistrySource {
  return readRegistry(t, 'http://127.0.0.1:1', {
    listing: { ...MADE_UP_APIS[kind].listing, url, token: TOKEN, ...listing },
    ...options,
  });
}
