/** Reads manifests (OCI distribution-spec, "Pulling manifests"). */
import { digestOf, isDigest, matchesDigest, type Digest } from '../digest.ts';
import { MAX_MANIFEST_BYTES } from '../limits.ts';
import type { Descriptor, Manifest } from '../manifest.ts';
import { MANIFEST_ACCEPT } from '../media-types.ts';
import { parseManifest } from '../parse-manifest.ts';
import { locateErrors, RegistryError } from '../registry-error.ts';
import { repositoryError, repositorySubject } from './repository.ts';
import { mediaTypeOf, type HttpResponse } from './transport/http-message.ts';
import type { Transport } from './transport/transport.ts';

/**
 * The manifest that `reference` names, a tag or a digest.
 * @throws RegistryError, or the signal's reason.
 */
export async function manifest(
  transport: Transport,
  repository: string,
  reference: string,
  signal: AbortSignal | undefined,
): Promise<Manifest> {
  const response = await request(transport, repository, reference, signal);
  const digest = checkedDigest(response, reference);
  return parsed(response, digest);
}

/**
 * The bytes of the manifest with this digest, and their descriptor.
 * @throws RegistryError, or the signal's reason.
 */
export async function openManifest(
  transport: Transport,
  repository: string,
  digest: Digest,
  signal: AbortSignal | undefined,
): Promise<{ readonly descriptor: Descriptor; readonly bytes: Buffer }> {
  const response = await request(transport, repository, digest, signal);
  const { mediaType, size } = parsed(response, checkedDigest(response, digest));
  return { descriptor: { mediaType, digest, size }, bytes: response.body };
}

async function request(
  transport: Transport,
  repository: string,
  reference: string,
  signal: AbortSignal | undefined,
): Promise<HttpResponse> {
  const response = await transport.request({
    path: `${transport.base}/${repository}/manifests/${reference}`,
    subject: repositorySubject(repository),
    accept: MANIFEST_ACCEPT,
    limit: MAX_MANIFEST_BYTES,
    signal,
  });
  if (response.status !== 200) throw repositoryError(transport, response);
  return response;
}

function parsed({ where, body, headers }: HttpResponse, digest: Digest): Manifest {
  return locateErrors(where, () => parseManifest(body, { mediaType: mediaTypeOf(headers), digest }));
}

/** The digest in `reference`, or for a tag the one in the answer's header, if that is valid; computed otherwise. */
function checkedDigest({ body, headers, where }: HttpResponse, reference: string): Digest {
  const expected = isDigest(reference) ? reference : headers['docker-content-digest'];
  if (!isDigest(expected)) return digestOf(body);
  if (!matchesDigest(body, expected))
    throw new RegistryError('digest-mismatch', `${where}: the ${body.length} bytes received do not match ${expected}`);
  return expected;
}
