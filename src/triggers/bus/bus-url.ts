/**
 * Parses the URLs of brokers: `stomp://LOGIN:PASSCODE@HOST:PORT/VIRTUALHOST` and `amqp://…`, or `stomps://…` and
 * `amqps://…` for TLS.
 */

type Protocol = 'stomp' | 'amqp';

/** The protocols of URLs with their default ports. */
const SCHEMES: Readonly<Record<string, { readonly protocol: Protocol; readonly tls: boolean; readonly port: number }>> =
  {
    'stomp:': { protocol: 'stomp', tls: false, port: 61613 },
    'stomps:': { protocol: 'stomp', tls: true, port: 61614 },
    'amqp:': { protocol: 'amqp', tls: false, port: 5672 },
    'amqps:': { protocol: 'amqp', tls: true, port: 5671 },
  };

/** The address and login of a broker. */
export interface BusAddress {
  readonly protocol: Protocol;
  readonly tls: boolean;
  readonly host: string;
  readonly port: number;
  /** The virtual host; `/` by default. */
  readonly virtualHost: string;
  readonly login?: string;
  readonly passcode?: string;
  /** The URL without login and passcode. */
  readonly url: string;
}

/**
 * Parses a broker's URL. Login, passcode and virtual host may be percent-encoded.
 * @throws TypeError if it is invalid. The message does not quote the URL, which may hold a passcode.
 */
export function parseBusUrl(text: string): BusAddress {
  const url = URL.parse(text);
  const scheme = SCHEMES[url?.protocol ?? ''];
  // These characters end the authority, so that a part of the passcode would be read as a port and appear in errors.
  if (/[?#]/.test(text) || (scheme !== undefined && url?.pathname.includes('@') === true)) {
    throw new TypeError(
      '"/", "?" and "#" in a login or a passcode, and "@" in a virtual host, must be written as %2F, %3F, %23 and %40',
    );
  }
  if (url === null || scheme === undefined || url.hostname === '') {
    throw new TypeError(
      'expected stomp://HOST, stomps://HOST, amqp://HOST or amqps://HOST, with LOGIN:PASSCODE@, :PORT and /VIRTUALHOST where they are needed, percent-encoded',
    );
  }

  const login = decoded('the login', url.username);
  const passcode = decoded('the passcode', url.password);
  const virtualHost = decoded('the virtual host', url.pathname.slice(1)) || '/';
  return {
    ...scheme,
    // Brackets belong to the URL, not to the IPv6 address.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    ...(url.port !== '' && { port: Number(url.port) }),
    virtualHost,
    ...(login !== '' && { login }),
    ...(passcode !== '' && { passcode }),
    url: `${url.protocol}//${url.host}${url.pathname}`,
  };
}

function decoded(what: string, text: string): string {
  let decodedText: string;
  try {
    decodedText = decodeURIComponent(text);
  } catch {
    throw new TypeError(
      `${what} in a broker’s URL has a "%" that does not begin a percent-encoded character: write it as %25`,
    );
  }
  // They would begin another header, because those of CONNECT are not escaped (STOMP 1.2, "Value Encoding").
  if (/[\r\n\0]/.test(decodedText)) throw new TypeError(`${what} in a broker’s URL has a line break or a NUL`);
  return decodedText;
}
