/** Parses the URLs of brokers: `stomp://LOGIN:PASSCODE@HOST:PORT/VIRTUALHOST`, or `stomps://…` for TLS. */

/** The default ports of brokers. */
const PORTS: Readonly<Record<string, number>> = { 'stomp:': 61613, 'stomps:': 61614 };

/** The address and login of a broker. */
export interface BusAddress {
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
  const port = PORTS[url?.protocol ?? ''];
  // These characters end the authority, so that a part of the passcode would be read as a port and appear in errors.
  if (/[?#]/.test(text) || (port !== undefined && url?.pathname.includes('@') === true)) {
    throw new TypeError(
      '"/", "?" and "#" in a login or a passcode, and "@" in a virtual host, must be written as %2F, %3F, %23 and %40',
    );
  }
  if (url === null || port === undefined || url.hostname === '') {
    throw new TypeError(
      'expected stomp://HOST or stomps://HOST, with LOGIN:PASSCODE@, :PORT and /VIRTUALHOST where they are needed, percent-encoded',
    );
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
    throw new TypeError(
      `${what} in a broker’s URL has a "%" that does not begin a percent-encoded character: write it as %25`,
    );
  }
  // They would begin another header, because those of CONNECT are not escaped (STOMP 1.2, "Value Encoding").
  if (/[\r\n\0]/.test(decodedText)) throw new TypeError(`${what} in a broker’s URL has a line break or a NUL`);
  return decodedText;
}
