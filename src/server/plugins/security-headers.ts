/** What browsers may do with an answer: told by helmet where people look at it, by few constants where it is asked for all the time. */
import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

type Directives = Readonly<Record<string, readonly (string | (() => string))[]>>;

/** For what is no page, and what other pages may show: indexes and icons. */
export const NOSNIFF = { 'x-content-type-options': 'nosniff' } as const;
/** For what somebody has pushed, and for errors: no browser is to take it for a page of this server. */
export const SANDBOXED = { ...NOSNIFF, 'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox" } as const;

const NOTHING: Directives = { defaultSrc: ["'none'"], frameAncestors: ["'none'"] };

/** Nothing but this server's own files; nothing in them is ever read as a script or markup. @param iconsUri as the configuration has it now */
export function pageDirectives(iconsUri: () => string): Directives {
  return {
    ...NOTHING,
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    imgSrc: [() => ["'self'", 'data:', ...(URL.canParse(iconsUri()) ? [new URL(iconsUri()).origin] : [])].join(' ')],
    connectSrc: ["'self'"],
    manifestSrc: ["'self'"],
    formAction: ["'self'"],
    baseUri: ["'none'"],
    requireTrustedTypesFor: ["'script'"],
    trustedTypes: ["'none'"],
  };
}

/**
 * For all routes of `scope`.
 * @param tls the server speaks HTTPS: browsers are to use nothing else from then on
 */
export async function securityHeaders(scope: FastifyInstance, tls: boolean, directives: Directives = NOTHING): Promise<void> {
  await scope.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: Object.fromEntries(Object.entries(directives).map(([name, values]) => [name, [...values]])) },
    // Not for other names: they may be served by others.
    strictTransportSecurity: tls && { includeSubDomains: false },
    xFrameOptions: { action: 'deny' },
  });
}
