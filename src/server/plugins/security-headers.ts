/** Security headers for browsers: from helmet for what people look at, from constants on hot paths. */
import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

type Directives = Readonly<Record<string, readonly (string | (() => string))[]>>;

/** For indexes and icons, which other pages may show. */
export const NOSNIFF = { 'x-content-type-options': 'nosniff' } as const;
/** For content that somebody has pushed, and for errors: browsers must not show it as a page of this origin. */
export const SANDBOXED = {
  ...NOSNIFF,
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
} as const;

const NOTHING: Directives = { defaultSrc: ["'none'"], frameAncestors: ["'none'"] };

/**
 * Returns the policy of the page: only this server's own files, and no text as script or markup.
 * @param iconsUri returns the configured one
 * @param linksScreenshots says whether an index leads browsers to screenshots elsewhere
 */
export function pageDirectives(iconsUri: () => string, linksScreenshots: () => boolean): Directives {
  return {
    ...NOTHING,
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    imgSrc: [
      () =>
        [
          "'self'",
          'data:',
          ...(URL.canParse(iconsUri()) ? [new URL(iconsUri()).origin] : []),
          ...(linksScreenshots() ? ['https:', 'http:'] : []),
        ].join(' '),
    ],
    connectSrc: ["'self'"],
    manifestSrc: ["'self'"],
    formAction: ["'self'"],
    baseUri: ["'none'"],
    requireTrustedTypesFor: ["'script'"],
    trustedTypes: ["'none'"],
  };
}

/** Writes directives for the `<meta>` of a page that a host of plain files sends, which cannot forbid frames. */
export function policyText(directives: Directives): string {
  return Object.entries(directives)
    .filter(([name]) => name !== 'frameAncestors')
    .map(([name, values]) => {
      const words = values.map((value) => (typeof value === 'function' ? value() : value));
      return [name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`), ...words].join(' ');
    })
    .join(';');
}

/**
 * Adds the headers to all answers of `scope`.
 * @param tls whether the server speaks HTTPS, which browsers must then use from now on
 */
export async function securityHeaders(
  scope: FastifyInstance,
  tls: boolean,
  directives: Directives = NOTHING,
): Promise<void> {
  await scope.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: Object.fromEntries(Object.entries(directives).map(([name, values]) => [name, [...values]])),
    },
    // Subdomains may be other servers.
    strictTransportSecurity: tls && { includeSubDomains: false },
    xFrameOptions: { action: 'deny' },
  });
}
