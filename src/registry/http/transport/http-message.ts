/** Requests to a registry and their answers, as the layers of the transport hand them to each other. */
import type { Readable } from 'node:stream';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly origin: string;
  /** With the query. */
  readonly path: string;
  readonly accept?: string | undefined;
  readonly authorization?: string | undefined;
  /** Others that ask for a part of the answer, or for none of it (RFC 9110, sections 13.1 and 14.2). */
  readonly conditions?: Readonly<Record<string, string>> | undefined;
  /** What a POST sends, as `application/x-www-form-urlencoded`. */
  readonly form?: string;
  /** The most bytes of a successful answer's body; nothing if it is `streamed`. */
  readonly limit: number;
  /** A successful answer is given when its head is there, and its body as it comes. */
  readonly streamed?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpResponse {
  /** The request in words for messages; without its query, which may hold a signature. */
  readonly where: string;
  readonly status: number;
  /** It refuses the login that it was asked with. */
  readonly loginRefused?: boolean;
  readonly headers: HttpHeaders;
  /** From sending the request to the head of its answer, in milliseconds; connecting is not counted. */
  readonly latency: number;
  /** Empty for HEAD and where it is streamed; cut short where it is not the body of a success. */
  readonly body: Buffer;
  /** Of a success that is streamed. It must be read to its end or destroyed; it fails with a RegistryError. */
  readonly stream?: Readable;
}

/** By lower-case name. */
export type HttpHeaders = Readonly<Record<string, string | string[] | undefined>>;

/**
 * Sends one request.
 * @throws RegistryError `unavailable`, `too-large` or `malformed`, or the signal's reason. Every status is an answer, no error.
 */
export type Send = (request: HttpRequest) => Promise<HttpResponse>;

/** The request in words for messages. */
export function describeRequest({ method, origin, path }: HttpRequest): string {
  const query = path.indexOf('?');
  return `${method} ${origin}${query < 0 ? path : path.slice(0, query)}`;
}

/** A header's value; where it was sent several times, the values as one list. */
export function headerValue(headers: HttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** The media type of a body, in lower case and without parameters; `undefined` if none is sent. */
export function mediaTypeOf(headers: HttpHeaders): string | undefined {
  return headerValue(headers, 'content-type')?.split(/[;,]/, 1)[0]?.trim().toLowerCase() || undefined;
}
