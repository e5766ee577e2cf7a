/** Reads a manifest (OCI distribution-spec, "Pulling manifests"). */
import { digestOf, isDigest, matchesDigest, type Digest } from '../digest.ts';
import { MAX_MANIFEST_BYTES } from '../limits.ts';
import type { Manifest } from '../manifest.ts';
import { MANIFEST_ACCEPT } from '../media-types.ts';
import { parseManifest } from '../parse-manifest.ts';
import { located, RegistryError } from '../registry-error.ts';
import { repositoryError, ofRepository } from './repository.ts';
import { mediaTypeOf, type HttpResponse } from './transport/http-message.ts';
import type { Transport } from './transport/transport.ts';

/** The manifest that `reference`, a tag or a digest, names. */
export async function manifest(
  transport: Transport,
  repository: string,
  reference: string,
  signal: AbortSignal | undefined,
): Promise<Manifest> {
  const response = await transport.request({
    path: `${transport.base}/${repository}/manifests/${reference}`,
    subject: ofRepository(repository),
    accept: MANIFEST_ACCEPT,
    limit: MAX_MANIFEST_BYTES,
    signal,
  });
  if (response.status !== 200) throw repositoryError(transport, response);
  const digest = checkedDigest(response, reference);
  return located(response.where, () => parseManifest(response.body, { mediaType: mediaTypeOf(response.headers), digest }));
}

/** The digest asked for; for a tag the one that the registry says, and if it says none that can be verified, one of our own. */
function checkedDigest({ body, headers, where }: HttpResponse, reference: string): Digest {
  const said = isDigest(reference) ? reference : headers['docker-content-digest'];
  if (!isDigest(said)) return digestOf(body);
  if (!matchesDigest(body, said)) throw new RegistryError('digest-mismatch', `${where}: the ${body.length} bytes that came are not ${said}`);
  return said;
}
