/** Finds and reads the files with certificates for a host (containers-certs.d(5)). */
import { X509Certificate } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from './file-stamp.ts';
import { defaultPortOf } from './registry-names.ts';

/** The paths of a host's PEM files. */
export interface CertificateFiles {
  /** Files of one or more certificates to trust. */
  readonly authorities: readonly string[];
  /** The client certificate and its key; `undefined` if there is none. */
  readonly client: { readonly cert: string; readonly key: string } | undefined;
}

/**
 * Finds the files for the host of `origin` in all folders of `certsDirs`.
 * @throws Error if a certificate has no key, a key no certificate, or a folder cannot be read.
 */
export async function findCertificateFiles(certsDirs: readonly string[], origin: string): Promise<CertificateFiles> {
  const authorities: string[] = [];
  let client: CertificateFiles['client'];
  for (const folder of certsDirs.flatMap((base) => hostNames(origin).map((name) => join(base, name)))) {
    const found = sortCertificateFiles(folder, await namesIn(folder));
    authorities.push(...found.authorities);
    client ??= found.client;
  }
  return { authorities, client };
}

/**
 * Sorts the files of a folder by kind: `*.crt` are authorities; `NAME.cert` and `NAME.key` a client certificate and its
 * key, of which the first pair is used.
 * @throws Error if one of a pair is missing.
 */
export function sortCertificateFiles(folder: string, names: readonly string[]): CertificateFiles {
  const ending = (end: string): string[] =>
    names
      .filter((name) => name.endsWith(end))
      .map((name) => name.slice(0, -end.length))
      .toSorted();
  const [certs, keys] = [ending('.cert'), ending('.key')];
  for (const name of certs)
    if (!keys.includes(name))
      throw new Error(
        `${join(folder, name)}.cert has no key beside it (${name}.key); an authority's certificate ends in .crt`,
      );
  for (const name of keys)
    if (!certs.includes(name)) throw new Error(`${join(folder, name)}.key has no certificate beside it (${name}.cert)`);
  const [first] = certs;
  return {
    authorities: ending('.crt').map((name) => join(folder, `${name}.crt`)),
    client:
      first === undefined ? undefined : { cert: join(folder, `${first}.cert`), key: join(folder, `${first}.key`) },
  };
}

/**
 * Reads the certificates in the text of a PEM file.
 * @throws Error if there is none, or one is invalid.
 */
export function parseCertificates(text: string): readonly string[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Error('it holds no certificate (-----BEGIN CERTIFICATE-----)');
  return blocks.map((block, position) => {
    try {
      return new X509Certificate(block).toString();
    } catch (cause) {
      throw new Error(`its certificate ${position + 1} cannot be read`, { cause });
    }
  });
}

/** The names that the host's folder may have: the default port may be named or left out. */
function hostNames(origin: string): readonly string[] {
  const { protocol, host, hostname, port } = new URL(origin);
  return port === '' ? [host, `${hostname}:${defaultPortOf(protocol)}`] : [host];
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
