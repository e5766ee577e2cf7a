/** Reads blobs, of which image configs whole (OCI distribution-spec, "Pulling blobs"). */
import type { Readable } from 'node:stream';
import { matchesDigest, type Digest } from '../digest.ts';
import { LARGE_CONFIG_BYTES, MAX_CONFIG_BYTES } from '../limits.ts';
import type { Descriptor, ImageConfig } from '../manifest.ts';
import { parseImageConfig } from '../parse-image-config.ts';
import { locateErrors, RegistryError } from '../registry-error.ts';
import { repositoryError, repositorySubject } from './repository.ts';
import type { Transport } from './transport/transport.ts';

/**
 * The bytes of the blob with this digest, which are not checked.
 * @throws RegistryError, or the signal's reason.
 */
export async function blob(
  transport: Transport,
  repository: string,
  digest: Digest,
  signal: AbortSignal | undefined,
): Promise<Readable> {
  const response = await transport.request({
    path: `${transport.base}/${repository}/blobs/${digest}`,
    subject: repositorySubject(repository),
    limit: 0,
    streamed: true,
    signal,
  });
  if (response.status === 200 && response.stream !== undefined) return response.stream;
  response.stream?.destroy();
  throw repositoryError(transport, response);
}

/**
 * The image config that `descriptor` names; `undefined` if it does not describe an image.
 * @throws RegistryError, or the signal's reason.
 */
export async function config(
  transport: Transport,
  repository: string,
  { digest, size }: Descriptor,
  signal: AbortSignal | undefined,
): Promise<ImageConfig | undefined> {
  const path = `${transport.base}/${repository}/blobs/${digest}`;
  if (size > MAX_CONFIG_BYTES) {
    throw new RegistryError(
      'too-large',
      `${transport.origin}${path}: an image config of ${size} bytes is larger than ${MAX_CONFIG_BYTES}`,
    );
  }
  const limit = size > LARGE_CONFIG_BYTES ? MAX_CONFIG_BYTES : LARGE_CONFIG_BYTES;
  const response = await transport.request({ path, subject: repositorySubject(repository), limit, signal });
  if (response.status !== 200) throw repositoryError(transport, response);
  const { body, where } = response;
  if (!matchesDigest(body, digest))
    throw new RegistryError('digest-mismatch', `${where}: the ${body.length} bytes received do not match the digest`);
  return locateErrors(where, () => parseImageConfig(body));
}
