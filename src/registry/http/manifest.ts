/** Reads a manifest (OCI distribution-spec, "Pulling manifests"). */
import { digestOf, isDigest, matchesDigest, type Digest } from '../digest.ts';
import { MAX_MANIFEST_BYTES } from '../limits.ts';
import type { Manifest } from '../manifest.ts';
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
  const response = await transport.request({
    path: `${transport.base}/${repository}/manifests/${reference}`,
    subject: repositorySubject(repository),
    accept: MANIFEST_ACCEPT,
    limit: MAX_MANIFEST_BYTES,
    signal,
  });
  if (response.status !== 200) throw repositoryError(transport, response);
  const digest = checkedDigest(response, reference);
  return locateErrors(response.where, () =>
    parseManifest(response.body, { mediaType: mediaTypeOf(response.headers), digest }),
  );
}

/** The digest in `reference`, or for a tag the one in the answer's header, if that is valid; computed otherwise. */
function checkedDigest({ body, headers, where }: HttpResponse, reference: string): Digest {
  const expected = isDigest(reference) ? reference : headers['docker-content-digest'];
  if (!isDigest(expected)) return digestOf(body);
  if (!matchesDigest(body, expected))
    throw new RegistryError('digest-mismatch', `${where}: the ${body.length} bytes received do not match ${expected}`);
  return expected;
}
