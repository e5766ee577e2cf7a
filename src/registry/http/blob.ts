/** Reads a blob (OCI distribution-spec, "Pulling blobs"). */
import type { Readable } from 'node:stream';
import type { Digest } from '../digest.ts';
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
