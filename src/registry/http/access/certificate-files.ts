/** Finds and reads the files with certificates for a host (containers-certs.d(5)). */
import { X509Certificate } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from './file-stamp.ts';
import { defaultPortOf } from './registry-names.ts';

/** Paths of PEM files. */
export interface CertificateFiles {
  /** Each with one or more certificates to trust. */
  readonly authorities: readonly string[];
  /** What to log in with. */
  readonly client: { readonly cert: string; readonly key: string } | undefined;
}

/**
 * What the folders of `certsDirs` have for the host of `origin`.
 * @throws Error if a certificate has no key, or a key no certificate, and what the system throws.
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
 * Tells the files of a folder apart: `*.crt` are authorities; `NAME.cert` and `NAME.key` are a client's certificate and key, of which
 * the first is used.
 * @throws Error if one of a pair is missing.
 */
export function sortCertificateFiles(folder: string, names: readonly string[]): CertificateFiles {
  const ending = (end: string): string[] => names.filter((name) => name.endsWith(end)).map((name) => name.slice(0, -end.length)).toSorted();
  const [certs, keys] = [ending('.cert'), ending('.key')];
  for (const name of certs) if (!keys.includes(name)) throw new Error(`${join(folder, name)}.cert has no key beside it (${name}.key); an authority's certificate ends in .crt`);
  for (const name of keys) if (!certs.includes(name)) throw new Error(`${join(folder, name)}.key has no certificate beside it (${name}.cert)`);
  const [first] = certs;
  return {
    authorities: ending('.crt').map((name) => join(folder, `${name}.crt`)),
    client: first === undefined ? undefined : { cert: join(folder, `${first}.cert`), key: join(folder, `${first}.key`) },
  };
}

/**
 * The certificates in the text of a PEM file.
 * @throws Error if it has none, or what is none.
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

/** The port that a URL need not say may be part of a folder's name. */
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
