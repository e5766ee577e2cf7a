/** A made-up GHCR: what ghcr.io and GitHub's API do differently from a real docker-registry, which is behind it. */
import { createHmac } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { TestContext } from 'node:test';
import { request, type Dispatcher } from 'undici';
import { temporaryFolder } from '../config/config-file.ts';
import { makeCertificates } from '../peers/certificates.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { copyImage } from '../peers/skopeo.ts';
import { startTokenService } from '../peers/token-service.ts';
import { playRegistry, sendJson } from '../registry/http/play-registry.ts';
import { OWNER } from '../registry/listing/made-up/made-up-api.ts';
import { playApi } from '../registry/listing/made-up/made-up-apis.ts';

/** The most packages on a page of the list, so that few have several pages. */
const PAGE = 2;
/** The query of blobs' URLs. */
const SIGNATURE = '?sig=0123456789abcdef';

/** The answers since the last look, as `STATUS METHOD PATH` without queries. */
export interface Answered {
  readonly registry: readonly string[];
  /** Of GitHub's API. */
  readonly api: readonly string[];
  /** Of the host that blobs are at. */
  readonly storage: readonly string[];
}

export interface MadeUpGhcr {
  /** The URL of the registry. */
  readonly url: string;
  /** The URL of GitHub's API. */
  readonly api: string;
  /** Pushes an image layout as the tag `latest` of a public package; returns its digest. */
  push(name: string, layout: string): Promise<string>;
  /** Deletes a package. */
  delete(name: string): void;
  /** Refuses the next list of packages, and the next request for this one, for a second. */
  limit(name: string): void;
  /** Looks at what was answered. */
  answered(): Answered;
}

/** Starts it; it ends with the test. */
export async function playGhcr(t: TestContext): Promise<MadeUpGhcr> {
  const resources = new AsyncDisposableStack();
  t.after(() => resources.disposeAsync());
  const folder = temporaryFolder(t);
  const storage = { filesystem: { rootdirectory: join(folder, 'storage') } };
  const packages: string[] = [];
  const isThere = (repository: string): boolean => packages.some((name) => repositoryOf(name) === repository);
  let limited: string | undefined;
  let isApiLimited = false;

  const log = { registry: [] as string[], api: [] as string[], storage: [] as string[] };
  const note = (place: keyof typeof log, { method, url = '' }: IncomingMessage, response: ServerResponse): void => {
    const { pathname, searchParams } = new URL(url, 'http://ghcr');
    const asked = [method, pathname, searchParams.get('scope')].filter((part) => part !== null).join(' ');
    response.on('finish', () => log[place].push(`${response.statusCode} ${asked}`));
  };

  // Another door to the same storage, without tokens: for pushes, and for blobs at their own host.
  const open = resources.use(await startDockerRegistry({ sections: { storage } }));

  const blobs = await playRegistry(t, (asked, response) => {
    note('storage', asked, response);
    // Signed URLs, as those of object storage, refuse any other authorization.
    if (asked.headers.authorization === undefined && asked.url.endsWith(SIGNATURE))
      forward(open.url + asked.url.replace(SIGNATURE, ''), asked, response);
    else sendJson(response, { error: 'AuthenticationFailed' }, {}, 403);
  });

  const ghcr = await playRegistry(t, (asked, response) => {
    note('registry', asked, response);
    const { pathname, search, searchParams } = new URL(asked.url, 'http://ghcr');
    const refuse = (status: number, code: string, headers: Record<string, string> = {}): void =>
      sendJson(response, { errors: [{ code, message: code.toLowerCase() }] }, headers, status);
    const { authorization } = asked.headers;
    const [, repository = '', kind] = /^\/v2\/(.+)\/(tags|manifests|blobs)\//.exec(pathname) ?? [];
    if (limited !== undefined && repository === repositoryOf(limited)) {
      limited = undefined;
      return refuse(429, 'TOOMANYREQUESTS', { 'retry-after': '1' });
    }
    if (pathname === '/token') {
      // What is not there is refused like what is private.
      const [, wanted = ''] = searchParams.get('scope')?.split(':') ?? [];
      return isThere(wanted) ? forward(tokens.url + search, asked, response) : refuse(403, 'DENIED');
    }
    if (pathname === '/v2/_catalog') return refuse(authorization === undefined ? 401 : 403, 'DENIED');
    if (!isThere(repository)) delete asked.headers.authorization;
    else if (authorization !== undefined && asked.method === 'HEAD') return refuse(405, 'UNSUPPORTED');
    return forward(backend.url + asked.url, asked, response, kind === 'blobs' ? blobs.url : undefined);
  });
  const tokens = resources.use(
    await startTokenService({ certificates: await makeCertificates(folder), realm: `${ghcr.url}/token` }),
  );
  const backend = resources.use(await startDockerRegistry({ sections: { storage, ...tokens.registry.sections } }));

  const api = await playApi(t, 'ghcr', { names: packages }, (asked, response) => {
    note('api', asked, response);
    asked.url = asked.url.replace('per_page=100', `per_page=${PAGE}`);
    if (!isApiLimited) return false;
    isApiLimited = false;
    sendJson(response, { message: 'You have exceeded a secondary rate limit.' }, { 'retry-after': '1' }, 403);
    return true;
  });

  return {
    url: ghcr.url,
    api: api.url,
    push: async (name, layout) => {
      if (!packages.includes(name)) packages.push(name);
      return copyImage({ from: `oci:${layout}`, to: `${open.host}/${repositoryOf(name)}:latest` });
    },
    delete: (name) => void packages.splice(packages.indexOf(name), 1),
    limit: (name) => {
      limited = name;
      isApiLimited = true;
    },
    answered: () => ({
      registry: log.registry.splice(0),
      api: log.api.splice(0),
      storage: log.storage.splice(0),
    }),
  };
}

function repositoryOf(name: string): string {
  return `${OWNER}/${name}`.toLowerCase();
}

/** Passes a request on. A success is a redirect to the same path at `place`, if that is given. */
function forward(
  url: string,
  { method, headers: { accept = '*/*', authorization } }: IncomingMessage,
  response: ServerResponse,
  place?: string,
): void {
  void request(url, {
    method: method as Dispatcher.HttpMethod,
    headers: { accept, ...(authorization !== undefined && { authorization }) },
  })
    .then(async ({ statusCode, headers, body }) => {
      if (place === undefined || statusCode !== 200) return pipeline(body, response.writeHead(statusCode, headers));
      await body.dump();
      response.writeHead(307, { location: place + new URL(url).pathname + SIGNATURE }).end();
      return undefined;
    })
    .catch(() => response.destroy());
}

/** A webhook of GitHub ("Webhook events and payloads"), signed with `secret`. */
export function webhook(
  event: string,
  content: object,
  secret: string,
): { headers: Record<string, string>; body: string } {
  const body = JSON.stringify(content);
  return {
    headers: {
      'content-type': 'application/json',
      'x-github-event': event,
      'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
    },
    body,
  };
}

/** What GitHub tells of a push of the tag `latest`. */
export function packagePublished(name: string): object {
  return {
    action: 'published',
    package: {
      id: 1,
      name,
      namespace: OWNER,
      ecosystem: 'CONTAINER',
      package_type: 'CONTAINER',
      owner: { login: OWNER, type: 'Organization' },
      package_version: { id: 2, container_metadata: { tag: { name: 'latest', digest: '' } } },
    },
    organization: { login: OWNER },
    sender: { login: 'jane' },
  };
}
