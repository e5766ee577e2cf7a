/** The part of the configuration that people see on the page and in the files that install. */
import { readFile } from 'node:fs/promises';
import type { Config, IndexConfig } from '../config/config.ts';
import type { SiteDescription, IndexDescription } from '../server/site.ts';

/**
 * Describes the site that `config` configures.
 * @throws the system's error if a key file cannot be read.
 */
export async function describeSite({ indexes, server: { baseUrl } }: Config): Promise<SiteDescription> {
  return { baseUrl, indexes: await Promise.all(indexes.map(describeIndex)) };
}

async function describeIndex({
  name,
  title = name,
  comment,
  description,
  homepage,
  icon,
  gpgKey,
  remoteName = name,
  collectionId,
  runtimeRepo,
  signaturesDir,
}: IndexConfig): Promise<IndexDescription> {
  const key = gpgKey === undefined ? undefined : unarmored(await readFile(gpgKey));
  return {
    name,
    title,
    comment,
    description,
    homepage,
    icon,
    gpgKey: key,
    remoteName,
    collectionId,
    runtimeRepo,
    signatures: signaturesDir !== undefined,
  };
}

/** Returns a public key in base64, from a file that holds it in binary or in ASCII armor (RFC 9580, section 6.2). */
export function unarmored(file: Buffer): string {
  const [, body] =
    /^-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n([A-Za-z0-9+/=\r\n]+?)\r?\n(?:=[A-Za-z0-9+/]{4}\r?\n)?-----END PGP PUBLIC KEY BLOCK-----/m.exec(
      file.toString('latin1'),
    ) ?? [];
  return body === undefined ? file.toString('base64') : Buffer.from(body, 'base64').toString('base64');
}
