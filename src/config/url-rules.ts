/** URLs in the configuration file. */
import { Type, type TString } from 'typebox';
import { LAYOUT_PREFIX } from '../registry/registry-id.ts';
import { hostFault } from './known-hosts.ts';
import { secret, type Options } from './rules.ts';

/** What a reference is relative to. */
const BASE = 'http://registry.example.org/index/';
const MAX_PORT = 65_535;
const CREDENTIALS = 'holds a user name or password';

/** `schema` with a rule: `fault` says what is wrong with a value, `undefined` if nothing is. */
function faultless(schema: TString, fault: (written: string) => string | undefined) {
  return Type.Refine(
    schema,
    (written) => fault(written) === undefined,
    (written) => fault(written) ?? '',
  );
}

/** The address of a registry: `http(s)://…`, or `oci:FOLDER`. */
export function registryUrl(options: Options = {}) {
  return faultless(secret({ expected: 'http(s)://HOST[:PORT][/PATH] or oci:FOLDER', ...options }), registryFault);
}

function registryFault(written: string): string | undefined {
  if (written.startsWith(LAYOUT_PREFIX)) return written === LAYOUT_PREFIX || written.includes('\0') ? 'names no folder' : undefined;
  const fault = urlFault(written, ['http:', 'https:']);
  if (fault === undefined && /\/v2\/?$/.test(written)) return 'ends with /v2, which is asked for below it (leave that away)';
  if (fault === CREDENTIALS) return `${fault} (set registries.URL.username and password instead)`;
  return fault ?? hostFault(new URL(written));
}

/** A whole http(s) URL, without credentials, query and fragment unless `query` allows these two. */
export function httpUrl(options: Options, query: 'no query' | 'any query' = 'no query') {
  const url = secret({ expected: 'a URL such as https://apps.example.org', ...options });
  return faultless(url, (written) => urlFault(written, ['http:', 'https:'], undefined, query));
}

/** The address of a registry as clients see it: an http(s) URL, or one relative to the URL of the index. */
export function registryReference(options: Options) {
  return reference(options, hostFault);
}

/** An http(s) URL, or one relative to the URL of the index, whose path is served here. */
export function servedReference(options: Options) {
  return reference(options, pathFault);
}

/** @param fault what else is wrong with it */
function reference(options: Options, fault: (url: URL) => string | undefined) {
  const schema = secret({ expected: 'a URL, or a path such as /icons/', ...options });
  return faultless(schema, (written) => urlFault(written, ['http:', 'https:'], BASE) ?? fault(new URL(written, BASE)));
}

/** The address of a STOMP broker; may hold a login. */
export function brokerUrl() {
  return faultless(secret({ expected: 'stomp://[USER:PASSWORD@]HOST[:PORT][/VHOST] or stomps://…' }), brokerFault);
}

function brokerFault(written: string): string | undefined {
  const fault = urlFault(written, ['stomp:', 'stomps:']);
  if (fault !== undefined && fault !== CREDENTIALS) return fault;
  return new URL(written).hostname === '' ? 'names no host' : undefined;
}

/** What keeps a path from being served here. */
function pathFault({ pathname }: URL): string | undefined {
  try {
    decodeURIComponent(pathname);
  } catch {
    return 'has a % that stands for nothing';
  }
  return /^\/v2\/*$/.test(pathname) ? 'is where pulls are served' : undefined;
}

/** What is wrong with a URL, without any of its characters: it may hold a password. */
function urlFault(
  written: string,
  protocols: readonly string[],
  base?: string,
  query: 'no query' | 'any query' = 'no query',
): string | undefined {
  const scheme = protocols.find((protocol) => written.toLowerCase().startsWith(protocol));
  // The parser would take "https:icons" for a host, and a client for a path.
  if (scheme !== undefined && !written.startsWith('//', scheme.length)) return `has no // after ${scheme}`;
  if (scheme !== undefined && /^\/\/[/\\]/.test(written.slice(scheme.length))) return 'names no host';
  const url = /\s/.test(written) ? null : URL.parse(written, base);
  const [, port = ''] = /:(\d+)(?:[/?#]|$)/.exec(written) ?? [];
  if (url === null && Number(port) > MAX_PORT) return `has a port over ${MAX_PORT}`;
  if (url === null || !protocols.includes(url.protocol)) {
    return `is not a URL with ${protocols.map((protocol) => protocol.slice(0, -1)).join(' or ')}`;
  }
  if (query === 'no query' && /[?#]/.test(written)) return 'has a query or fragment';
  return url.username === '' && url.password === '' ? undefined : CREDENTIALS;
}
