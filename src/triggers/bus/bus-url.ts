/** Where a broker is: `stomp://LOGIN:PASSCODE@HOST:PORT/VIRTUALHOST`, or `stomps://…` for TLS. */

/** The ports that brokers listen on unless told otherwise. */
const PORTS: Readonly<Record<string, number>> = { 'stomp:': 61613, 'stomps:': 61614 };

export interface BusAddress {
  readonly tls: boolean;
  readonly host: string;
  readonly port: number;
  /** `/` unless the URL names one. */
  readonly virtualHost: string;
  readonly login?: string;
  readonly passcode?: string;
  /** The URL without login and passcode. */
  readonly url: string;
}

/**
 * Reads a broker's URL. Login, passcode and virtual host may be percent-encoded.
 * @throws TypeError that says what is wrong, and holds nothing of the URL, since it may hold a passcode.
 */
export function parseBusUrl(text: string): BusAddress {
  const url = URL.parse(text);
  const port = PORTS[url?.protocol ?? ''];
  // Each of them would make what follows a path, a query or a fragment, and the passcode before it the port of a host.
  if (/[?#]/.test(text) || (port !== undefined && url?.pathname.includes('@') === true)) {
    throw new TypeError('"/", "?" and "#" in a login or a passcode, and "@" in a virtual host, must be written as %2F, %3F, %23 and %40');
  }
  if (url === null || port === undefined || url.hostname === '') {
    throw new TypeError('expected stomp://HOST or stomps://HOST, with LOGIN:PASSCODE@, :PORT and /VIRTUALHOST where they are needed, percent-encoded');
  }

  const login = decoded('the login', url.username);
  const passcode = decoded('the passcode', url.password);
  const virtualHost = decoded('the virtual host', url.pathname.slice(1)) || '/';
  return {
    tls: url.protocol === 'stomps:',
    // Brackets belong to the URL, not to the IPv6 address.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? port : Number(url.port),
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
    throw new TypeError(`${what} in a broker’s URL has a "%" that begins no percent-encoded character: write it as %25`);
  }
  // They would begin another header: those of CONNECT are sent as they are (STOMP 1.2, "Value Encoding").
  if (/[\r\n\0]/.test(decodedText)) throw new TypeError(`${what} in a broker’s URL has a line break or a NUL`);
  return decodedText;
}
