/** Reads an image config (OCI distribution-spec, "Pulling blobs"). */
import { matchesDigest } from '../digest.ts';
import { LARGE_CONFIG_BYTES, MAX_CONFIG_BYTES } from '../limits.ts';
import type { Descriptor, ImageConfig } from '../manifest.ts';
import { parseImageConfig } from '../parse-image-config.ts';
import { located, RegistryError } from '../registry-error.ts';
import { repositoryError, ofRepository } from './repository.ts';
import type { Transport } from './transport/transport.ts';

/** The image config that `descriptor` names; `undefined` if it describes no image. */
export async function config(
  transport: Transport,
  repository: string,
  { digest, size }: Descriptor,
  signal: AbortSignal | undefined,
): Promise<ImageConfig | undefined> {
  const path = `${transport.base}/${repository}/blobs/${digest}`;
  if (size > MAX_CONFIG_BYTES) {
    throw new RegistryError('too-large', `${transport.origin}${path}: an image config of ${size} bytes is larger than ${MAX_CONFIG_BYTES}`);
  }
  const limit = size > LARGE_CONFIG_BYTES ? MAX_CONFIG_BYTES : LARGE_CONFIG_BYTES;
  const response = await transport.request({ path, subject: ofRepository(repository), limit, signal });
  if (response.status !== 200) throw repositoryError(transport, response);
  const { body, where } = response;
  if (!matchesDigest(body, digest)) throw new RegistryError('digest-mismatch', `${where}: the ${body.length} bytes that came are not what was asked for`);
  return located(where, () => parseImageConfig(body));
}
