/** Forwards pulls to a registry behind this server, with the server's credentials. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { UpstreamRegistry, UpstreamPage, Pull } from '../../../registry/http/upstream-registry.ts';
import { headerValue, type HttpResponse } from '../../../registry/http/transport/http-message.ts';
import { isDigest } from '../../../registry/digest.ts';
import { DELTA_INDEX_TAG, isRepositoryName, isTag } from '../../../registry/reference.ts';
import { RegistryError } from '../../../registry/registry-error.ts';
import { IMMUTABLE } from '../../http/caching.ts';
import { abortOnClose, suspendTimeout } from '../../http/long-requests.ts';
import { logOf } from '../../plugins/request-ids.ts';
import { DistributionError, RegistryTooSlow, RegistryUnavailable } from '../../server-error.ts';

/** Request headers to forward. All others are dropped, above all credentials. */
const FORWARDED = [
  'range',
  'if-range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
] as const;
/** Response headers to forward. All others are dropped, above all challenges and cookies. */
const RETURNED = [
  'content-type',
  'content-length',
  'content-range',
  'accept-ranges',
  'docker-content-digest',
  'etag',
  'last-modified',
] as const;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Options of {@link RegistryProxy}. */
export interface RegistryProxyOptions {
  readonly upstream: Pick<UpstreamRegistry, 'names' | 'open' | 'repositories' | 'tags'>;
  /**
   * Says whether clients may read the repository, or the tag of it: the server's credentials may give access to more.
   */
  readonly shows: (repository: string, tag?: string) => boolean;
  /** Time for an answer to begin, in milliseconds. */
  readonly timeout: number;
}

/** Forwards requests to one registry. */
export class RegistryProxy {
  readonly #options: RegistryProxyOptions;

  constructor(options: RegistryProxyOptions) {
    this.#options = options;
  }

  /** All repositories, if they are known without a request. */
  get names(): readonly string[] | undefined {
    return this.#options.upstream.names?.filter((name) => this.#options.shows(name));
  }

  /** Says whether clients may read the repository. */
  shows(repository: string): boolean {
    return this.#options.shows(repository);
  }

  /** Sends a manifest or a blob. */
  async send(
    request: FastifyRequest,
    reply: FastifyReply,
    { repository, kind, reference }: Pick<Pull, 'repository' | 'kind' | 'reference'>,
  ): Promise<FastifyReply> {
    const { headers } = request;
    const byDigest = isDigest(reference);
    // Content behind a hidden tag can still be read by digest.
    if (!byDigest && reference !== DELTA_INDEX_TAG && !this.#options.shows(repository, reference))
      throw notFound(kind, repository, reference);
    const response = await this.#ask(request, reply, (signal) =>
      this.#options.upstream.open({
        method: request.method === 'HEAD' ? 'HEAD' : 'GET',
        repository,
        kind,
        reference,
        accept: headers.accept,
        conditions: conditionsOf(request),
        signal,
      }),
    );
    const { status } = response;
    if (REDIRECTS.has(status))
      return reply
        .code(307)
        .headers({ location: locationOf(response), 'cache-control': 'no-store' })
        .send();
    if (status !== 200 && status !== 206 && status !== 304) {
      response.stream?.destroy();
      throw this.#refusal(request, reply, response, notFound(kind, repository, reference));
    }
    for (const name of RETURNED) {
      const value = headerValue(response.headers, name);
      if (value !== undefined && !(status === 304 && name.startsWith('content-'))) reply.header(name, value);
    }
    // Not the registry's type, which a browser might display.
    if (kind === 'blobs' && status !== 304) reply.header('content-type', 'application/octet-stream');
    reply.header('cache-control', byDigest ? IMMUTABLE : 'no-cache');
    return reply.code(status).send(response.stream);
  }

  /** Returns a page of the repositories, and sets the link to the next, which begins with `basePath`. */
  async repositories(request: FastifyRequest, reply: FastifyReply, basePath: string): Promise<readonly string[]> {
    const page = await this.#list(
      request,
      reply,
      `${basePath}/v2/_catalog`,
      'The registry behind this server does not list its repositories.',
      (signal) => this.#options.upstream.repositories(queryOf(request), signal),
    );
    return page.filter((name) => isRepositoryName(name) && this.#options.shows(name));
  }

  /** Returns a page of the tags of a repository, and sets the link to the next, which begins with `basePath`. */
  async tags(
    request: FastifyRequest,
    reply: FastifyReply,
    repository: string,
    basePath: string,
  ): Promise<readonly string[]> {
    const page = await this.#list(
      request,
      reply,
      `${basePath}/v2/${repository}/tags/list`,
      `There is no repository ${repository} here.`,
      (signal) => this.#options.upstream.tags(repository, queryOf(request), signal),
    );
    return page.filter((tag) => isTag(tag) && this.#options.shows(repository, tag));
  }

  async #list(
    request: FastifyRequest,
    reply: FastifyReply,
    path: string,
    unknown: string,
    ask: (signal: AbortSignal) => Promise<UpstreamPage | HttpResponse>,
  ): Promise<readonly string[]> {
    const page = await this.#ask(request, reply, ask);
    if ('status' in page)
      throw this.#refusal(request, reply, page, new DistributionError(404, 'NAME_UNKNOWN', unknown));
    if (page.next !== undefined) reply.header('link', `<${path}${page.next}>; rel="next"`);
    return page.names;
  }

  /** Waits for the registry until the client is gone or the timeout has passed. */
  async #ask<T>(request: FastifyRequest, reply: FastifyReply, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { timeout } = this.#options;
    const aborted = abortOnClose(reply);
    const tooSlow = new RegistryTooSlow(String(timeout / 1000));
    const timer = setTimeout(() => aborted.abort(tooSlow), timeout);
    const restoreTimeout = suspendTimeout(request);
    try {
      return await ask(aborted.signal);
    } catch (error) {
      if (error === tooSlow)
        logOf(request).warn({ url: request.url }, `the registry did not answer within ${timeout / 1000} s`);
      if (!(error instanceof RegistryError)) throw error;
      throw this.#unavailable(request, error.message, error);
    } finally {
      clearTimeout(timer);
      restoreTimeout();
    }
  }

  /** Returns the error for an answer that is neither a success nor a redirect. */
  #refusal(
    request: FastifyRequest,
    reply: FastifyReply,
    { status, headers, where }: HttpResponse,
    absent: DistributionError,
  ): Error {
    if (status === 404) return absent;
    if (status === 401 || status === 403) {
      logOf(request).warn(
        { url: request.url },
        `${where}: answered ${status}; check registries.URL.username and password`,
      );
      return new DistributionError(
        403,
        'DENIED',
        'The registry behind this server denies access; the log of this server says more.',
      );
    }
    if (status === 416) {
      const range = headerValue(headers, 'content-range');
      if (range !== undefined) reply.header('content-range', range);
      return new DistributionError(416, 'RANGE_INVALID', 'The range asked for is not in the blob.');
    }
    if (status === 429) {
      reply.header('retry-after', headerValue(headers, 'retry-after') ?? '1');
      return new DistributionError(
        429,
        'TOOMANYREQUESTS',
        'The registry behind this server limits its requests; ask again later.',
      );
    }
    if (status >= 400 && status < 500)
      return new DistributionError(status, 'UNSUPPORTED', `The registry behind this server answered ${status}.`);
    return this.#unavailable(request, `${where}: answered ${status}`);
  }

  #unavailable(request: FastifyRequest, message: string, cause?: unknown): Error {
    logOf(request).warn({ url: request.url }, `the registry could not be read for a client: ${message}`);
    return new RegistryUnavailable({ cause });
  }
}

function conditionsOf({ headers }: FastifyRequest): Readonly<Record<string, string>> {
  return Object.fromEntries(
    FORWARDED.flatMap((name) => {
      const value = headerValue(headers, name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function notFound(kind: Pull['kind'], repository: string, reference: string): DistributionError {
  return kind === 'manifests'
    ? new DistributionError(404, 'MANIFEST_UNKNOWN', `There is no manifest ${repository}:${reference} here.`)
    : new DistributionError(404, 'BLOB_UNKNOWN', `There is no blob ${reference} in ${repository} here.`);
}

/** Returns the target of a redirect, which {@link UpstreamRegistry} has checked to be an HTTP(S) URL of another origin. */
function locationOf({ headers }: HttpResponse): string {
  return headerValue(headers, 'location') ?? '';
}

/** Returns the query of a request's URL, with its `?`; empty if there is none. */
function queryOf({ raw }: FastifyRequest): string {
  return URL.parse(raw.url ?? '', 'http://localhost')?.search ?? '';
}
