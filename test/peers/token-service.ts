/** A token service for docker-registry (Distribution, "Token Authentication Specification"). */
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Certificates } from './certificates.ts';
import type { DockerRegistryOptions } from './docker-registry.ts';

const ISSUER = 'regindexer-tests';
const SERVICE = 'docker-registry';

export interface TokenServiceOptions {
  /** Certificates whose key signs tokens and whose authority the registry trusts. */
  readonly certificates: Certificates;
  /** The user who may read each repository; anybody may read the others. */
  readonly readers?: Readonly<Record<string, string>>;
  /** Users' passwords; a user's identity token is `identity-of-USER`. */
  readonly passwords?: Readonly<Record<string, string>>;
  /** Lifetime of a token in seconds. */
  readonly lifetime?: number;
  /** The URL that registries name, if it is not the service's own. */
  readonly realm?: string;
}

/** One request for a token. */
export interface TokenRequest {
  readonly method: string;
  readonly scopes: readonly string[];
  readonly user: string | undefined;
}

export interface TokenService extends AsyncDisposable {
  readonly url: string;
  readonly requests: readonly TokenRequest[];
  /** Options that make a registry require tokens of this service. */
  readonly registry: Pick<DockerRegistryOptions, 'sections'>;
}

/** Starts the service. */
export async function startTokenService({
  certificates,
  readers = {},
  passwords = {},
  lifetime = 300,
  realm,
}: TokenServiceOptions): Promise<TokenService> {
  const key = createPrivateKey(await readFile(certificates.key));
  const chain = [new X509Certificate(await readFile(certificates.certificate)).raw.toString('base64')];
  const requests: TokenRequest[] = [];

  const server = createServer((request, response) => {
    void answer(request).then(([status, body]) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    );
  });
  const answer = async (request: IncomingMessage): Promise<[number, object]> => {
    const isForm = request.method === 'POST';
    const parameters = isForm
      ? new URLSearchParams(await text(request))
      : new URL(request.url ?? '', 'http://service').searchParams;
    const user = isForm
      ? userOfIdentity(parameters.get('refresh_token'))
      : userOfLogin(request.headers.authorization, passwords);
    const scopes = parameters.getAll('scope').flatMap((scope) => scope.split(' '));
    requests.push({ method: String(request.method), scopes, user: user ?? undefined });
    if (user === null || parameters.get('service') !== SERVICE)
      return [401, { errors: [{ code: 'UNAUTHORIZED', message: 'who are you?' }] }];
    const access = scopes.map(accessOf).filter(({ name }) => readers[name] === undefined || readers[name] === user);
    const token = signed({
      iss: ISSUER,
      aud: SERVICE,
      sub: user ?? '',
      jti: randomUUID(),
      access,
      nbf: now() - 10,
      iat: now(),
      exp: now() + lifetime,
    });
    return [200, { [isForm ? 'access_token' : 'token']: token, expires_in: lifetime }];
  };
  const signed = (claims: object): string => {
    const content = [{ typ: 'JWT', alg: 'ES256', x5c: chain }, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    return `${content}.${sign('sha256', Buffer.from(content), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  };

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  return {
    url,
    requests,
    registry: {
      sections: {
        auth: {
          token: { realm: realm ?? url, service: SERVICE, issuer: ISSUER, rootcertbundle: certificates.authority },
        },
      },
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Returns the user; `undefined` without a login, null for a wrong one. */
function userOfLogin(
  authorization: string | undefined,
  passwords: Readonly<Record<string, string>>,
): string | undefined | null {
  if (authorization === undefined) return undefined;
  const [user = '', password] = atob(authorization.replace('Basic ', '')).split(':');
  return passwords[user] === password ? user : null;
}

function userOfIdentity(token: string | null): string | null {
  return token?.match(/^identity-of-(.+)$/)?.[1] ?? null;
}

/** Parses `TYPE:NAME:ACTION,…`. */
function accessOf(scope: string): { type: string; name: string; actions: string[] } {
  const [type = '', name = '', actions = ''] = scope.split(':');
  return { type, name, actions: actions.split(',') };
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
