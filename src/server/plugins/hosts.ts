/** Checks the host of each request before anything uses it (RFC 9110, section 7.2; RFC 9113, section 8.3.1). */
import type { IncomingHttpHeaders } from 'node:http';
import { isIPv4, isIPv6 } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { InvalidHost } from '../server-error.ts';

const MAX_NAME = 253;
const MAX_PORT = 65_535;
/** A name, an IPv4 address or an IPv6 address in brackets, and a port. Container names may have underscores. */
const HOST = /^(?:(?<name>[\w-]{1,63}(?:\.[\w-]{1,63})*)\.?|\[(?<ipv6>[\da-f:.]+)\])(?::(?<port>\d{1,5}))?$/i;
const NUMERIC = /(?:^|\.)(?:\d+|0x[\da-f]*)$/i;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: ':80', https: ':443' };

/** Says whether `text` is a host with an optional port, and nothing else. */
export function isHost(text: string): boolean {
  const { name = '', ipv6, port } = HOST.exec(text)?.groups ?? {};
  if (port !== undefined && (Number(port) === 0 || Number(port) > MAX_PORT)) return false;
  if (ipv6 !== undefined) return isIPv6(ipv6);
  return name !== '' && name.length <= MAX_NAME && (!NUMERIC.test(name) || isIPv4(name));
}

/**
 * Answers 400 where `Host` or `:authority` is missing, ambiguous or invalid, for the routes of `server` and its scopes.
 */
export function checkHosts(server: FastifyInstance): void {
  server.addHook('onRequest', (request, reply, done) => {
    const fault = faultOf(request);
    // Do not trust later requests on such a connection (request smuggling).
    if (fault !== undefined && request.raw.httpVersionMajor === 1) reply.header('connection', 'close');
    done(fault === undefined ? undefined : new InvalidHost(fault));
  });
}

/**
 * Returns the origin of the URL that the client requested; trusted proxies may name it.
 * @throws InvalidHost
 */
export function originOf(request: FastifyRequest): string {
  const protocol = request.protocol.toLowerCase();
  if (protocol !== 'http' && protocol !== 'https') throw new InvalidHost('X-Forwarded-Proto is neither http nor https');
  // Not checked before: HTTP/1.0 without Host, and X-Forwarded-Host.
  if (!isHost(request.host))
    throw new InvalidHost(
      `${request.headers['x-forwarded-host'] === undefined ? 'Host' : 'X-Forwarded-Host'} is not a host with an optional port`,
    );
  return `${protocol}://${request.host}`;
}

function faultOf({ raw, protocol }: FastifyRequest): string | undefined {
  const headers: IncomingHttpHeaders = raw.headers;
  const { host, ':authority': authority } = headers;
  if (raw.httpVersion === '1.1' && (host === undefined || namesHostTwice(raw.rawHeaders)))
    return 'a request over HTTP/1.1 needs the header Host, once';
  if (raw.httpVersionMajor === 2 && host === undefined && authority === undefined)
    return 'a request over HTTP/2 needs :authority or Host';
  if (host !== undefined && !isHost(host)) return 'Host is not a host with an optional port';
  if (typeof authority === 'string' && !isHost(authority)) return ':authority is not a host with an optional port';
  if (
    typeof authority === 'string' &&
    host !== undefined &&
    normalized(authority, protocol) !== normalized(host, protocol)
  )
    return ':authority and Host differ';
  return undefined;
}

function namesHostTwice(rawHeaders: readonly string[]): boolean {
  return rawHeaders.filter((text, place) => place % 2 === 0 && text.toLowerCase() === 'host').length > 1;
}

/** Removes a default port, and lowers case, so that spellings of one host compare equal. */
function normalized(host: string, protocol: string): string {
  const port = DEFAULT_PORTS[protocol] ?? '';
  return (host.endsWith(port) ? host.slice(0, host.length - port.length) : host).toLowerCase();
}
