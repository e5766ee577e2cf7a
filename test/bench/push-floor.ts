/** The least that a push could take. */
import { Pool } from 'undici';
import { MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';

/** From a notification to the first request, in milliseconds. */
const NOTIFICATION = 100;

/**
 * Milliseconds that a notification waits, and that the requests take without which a push cannot be known: where the
 * tag leads, and all that is new.
 */
export async function pushFloor(url: string, repository: string, tag: string): Promise<number> {
  await using pool = Object.assign(new Pool(url), { [Symbol.asyncDispose]: () => pool.close() });
  const ask = async (path: string, method: 'GET' | 'HEAD' = 'GET'): Promise<unknown> => {
    const { statusCode, body } = await pool.request({
      method,
      path: `/v2/${repository}/${path}`,
      headers: { accept: MANIFEST_ACCEPT },
      reset: false,
    });
    if (statusCode !== 200) throw new Error(`${method} ${path}: ${statusCode}`);
    return method === 'HEAD' ? body.dump() : body.json();
  };
  // A connection is there before, as the server's is.
  await ask(`manifests/${tag}`, 'HEAD');
  const started = performance.now();
  await ask(`manifests/${tag}`, 'HEAD');
  const { manifests } = (await ask(`manifests/${tag}`)) as { manifests: { digest: string }[] };
  await Promise.all(
    manifests.map(async ({ digest }) => {
      const { config } = (await ask(`manifests/${digest}`)) as { config: { digest: string } };
      await ask(`blobs/${config.digest}`);
    }),
  );
  return NOTIFICATION + performance.now() - started;
}
