/**
 * Authentication of notifications. Senders differ in what they can be told: a bearer token, Basic credentials, nothing
 * but a URL, or a secret that they sign the body with.
 */
import { createHmac } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { sameSecret } from '../../plugins/bearer-token.ts';
import { NoTokenConfigured, Unauthorized, WrongSignature, WrongToken } from '../../server-error.ts';
import { isForm, payloadOf } from './parse-events.ts';

const KEY = 'server.events_token';
/** The header in which Artifactory sends the token, or a signature. */
const ARTIFACTORY = 'x-jfrog-event-auth';
/** Headers with the HMAC-SHA256 of the body in hexadecimal, some behind `sha256=`; its key is the token. */
const SIGNATURES = ['x-hub-signature-256', 'x-gitea-signature', 'x-forgejo-signature', ARTIFACTORY];
const CHALLENGE = 'Bearer realm="regindexer"';
const NO_BODY = Buffer.alloc(0);

/**
 * Requires the token for all routes of `server`, which must be a scope of its own and take bodies as Buffers. Wrong
 * tokens are not limited: senders that are hosted share addresses, so that others could have the right one refused.
 */
export function requireEventsToken(server: FastifyInstance, token: () => string | undefined): void {
  const configured = (): string => {
    const right = token();
    if (right === undefined) throw new NoTokenConfigured(KEY);
    return right;
  };
  server.addHook('onRequest', async (request, reply) => {
    if (hasToken(request, configured()) || signaturesOf(request).length > 0) return;
    const given = tokensOf(request).length > 0;
    reply.header('www-authenticate', given ? `${CHALLENGE}, error="invalid_token"` : CHALLENGE);
    throw given ? new WrongToken(KEY) : new Unauthorized(KEY);
  });
  // A signature can only be checked once the body is there.
  server.addHook('preHandler', async (request, reply) => {
    if (hasToken(request, configured()) || isSigned(request, configured())) return;
    reply.header('www-authenticate', CHALLENGE);
    throw new WrongSignature(KEY);
  });
}

function hasToken(request: FastifyRequest, right: string): boolean {
  return tokensOf(request).some((given) => sameSecret(given, right));
}

/** Returns the tokens in `Authorization`, in the path, and in the header of Artifactory. */
function tokensOf({ headers, params }: FastifyRequest): readonly string[] {
  const [, scheme = '', credentials = ''] = /^(bearer|basic) +(\S+)\s*$/i.exec(headers.authorization ?? '') ?? [];
  const { token = '' } = params as { readonly token?: string };
  return [
    scheme.toLowerCase() === 'basic' ? passwordIn(credentials) : credentials,
    token,
    String(headers[ARTIFACTORY] ?? ''),
  ].filter((given) => given !== '');
}

/** Returns the password in Basic credentials (RFC 7617); empty if there is none. */
function passwordIn(credentials: string): string {
  const [, ...password] = Buffer.from(credentials, 'base64').toString().split(':');
  return password.join(':');
}

function signaturesOf({ headers }: FastifyRequest): readonly string[] {
  return SIGNATURES.flatMap((name) => headers[name] ?? []).filter((signature) => signature !== '');
}

function isSigned(request: FastifyRequest, token: string): boolean {
  const body = bodyOf(request);
  // GitHub signs all of a form, Gitea only the notification in it.
  const signed = isForm(body) ? [body, payloadOf(body)] : [body];
  const right = signed.map((content) => createHmac('sha256', token).update(content).digest('hex'));
  return signaturesOf(request).some((given) =>
    right.some((signature) => sameSecret(given.replace(/^sha256=/, ''), signature)),
  );
}

/** Returns the body as it was sent; empty if there is none. */
export function bodyOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : NO_BODY;
}
