/** Requests to a registry and their answers, between the layers of the transport. */
import type { Readable } from 'node:stream';

/** A request of any layer. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly origin: string;
  /** The path with its query. */
  readonly path: string;
  readonly accept?: string | undefined;
  readonly authorization?: string | undefined;
  /** Further headers, such as those of conditional and range requests (RFC 9110, sections 13.1 and 14.2). */
  readonly fields?: Readonly<Record<string, string>> | undefined;
  /** The body of a POST. */
  readonly content?: { readonly mediaType: string; readonly text: string };
  /** The most bytes of a successful answer's body; ignored if it is `streamed`. */
  readonly limit: number;
  /** Returns a successful answer when its head has arrived, and its body as a stream. */
  readonly streamed?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An answer to a request. */
export interface HttpResponse {
  /** Describes the request in messages; without its query, which may hold a signature. */
  readonly where: string;
  readonly status: number;
  /** The registry refused the login of the request. */
  readonly loginRefused?: boolean;
  readonly headers: HttpHeaders;
  /** The time from sending the request, without connecting, to the head of the answer, in milliseconds. */
  readonly latency: number;
  /** The body; empty for HEAD and if it is streamed. That of a failure may be cut off. */
  readonly body: Buffer;
  /** The streamed body of a success. It must be read to its end or destroyed, and fails with a RegistryError. */
  readonly stream?: Readable;
}

/** Headers by their lower-case names. */
export type HttpHeaders = Readonly<Record<string, string | string[] | undefined>>;

/**
 * Sends one request. Any status is an answer, not an error.
 * @throws RegistryError `unavailable`, `too-large` or `malformed`, or the signal's reason.
 */
export type Send = (request: HttpRequest) => Promise<HttpResponse>;

/** Describes a request for messages, without its query. */
export function describeRequest({ method, origin, path }: HttpRequest): string {
  const query = path.indexOf('?');
  return `${method} ${origin}${query < 0 ? path : path.slice(0, query)}`;
}

/** The value of a header; repeated headers are joined by commas. */
export function headerValue(headers: HttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** The media type of a body, in lower case and without parameters; `undefined` if absent. */
export function mediaTypeOf(headers: HttpHeaders): string | undefined {
  return headerValue(headers, 'content-type')?.split(/[;,]/, 1)[0]?.trim().toLowerCase() || undefined;
}
