/** skopeo: copies images into registries and deletes them there. */
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bareEnvironment } from './peer.ts';
import { runCommand } from './run-command.ts';

export interface Login {
  readonly username: string;
  readonly password: string;
}

export interface ImageCopy {
  /** `oci:FOLDER` of an image layout, or `docker://HOST/NAME:TAG`. */
  readonly from: string;
  /** `HOST/NAME:TAG`. */
  readonly to: string;
  /** Copies an image index with all its images, not only the one for this machine. */
  readonly all?: boolean;
  /** Converts the manifest to OCI or to Docker's schema 2. */
  readonly format?: 'oci' | 'v2s2';
  readonly login?: Login;
}

/**
 * Copies an image into a registry, over HTTP, or over HTTPS with any certificate; returns the digest that the tag
 * points to now.
 */
export async function copyImage({ from, to, all = false, format, login }: ImageCopy): Promise<string> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-skopeo-'));
  const digestFile = join(folder.path, 'digest');
  const always = ['--quiet', '--src-tls-verify=false', '--dest-tls-verify=false', '--digestfile', digestFile];
  await skopeo(
    'copy',
    ...always,
    ...(all ? ['--all'] : []),
    ...(format ? ['--format', format] : []),
    ...(login ? ['--dest-creds', credentials(login)] : []),
    from,
    `docker://${to}`,
  );
  return readFile(digestFile, 'utf8');
}

/** Deletes the manifest that `HOST/NAME:TAG` points to, and with it all tags of that manifest. */
export async function deleteImage(image: string, login?: Login): Promise<void> {
  await skopeo('delete', '--tls-verify=false', ...(login ? ['--creds', credentials(login)] : []), `docker://${image}`);
}

async function skopeo(...args: readonly string[]): Promise<void> {
  await runCommand('skopeo', ['--insecure-policy', ...args], { env: bareEnvironment('/nonexistent') });
}

function credentials({ username, password }: Login): string {
  return `${username}:${password}`;
}
