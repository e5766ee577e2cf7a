/**
 * The floor of reading a registry: the requests without which its content, or that it is unchanged, cannot be known,
 * and nothing else is done with the answers than to parse them.
 *
 *     node registry-floor.ts URL read                     all of it
 *     node registry-floor.ts URL rescan [REPOSITORY TAG]  where each tag leads, and all of the one that has changed
 */
import { Pool } from 'undici';
import { MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';

/** As many as a registry is asked at once by default. */
const CONCURRENCY = 16;

const [url = '', mode, changedRepository, changedTag] = process.argv.slice(2);
const pool = new Pool(url, { connections: CONCURRENCY });

/** An answer's JSON; undici's fastest way, so that the floor is one. */
function ask(path: string, method: 'GET' | 'HEAD' = 'GET'): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const chunks: Buffer[] = [];
  pool.dispatch(
    // Without `reset: false` a HEAD would cost a connection.
    { method, path, headers: { accept: MANIFEST_ACCEPT }, reset: false },
    {
      onRequestStart() {},
      onResponseStart(_controller, status) {
        if (status !== 200) reject(new Error(`${method} ${path}: ${status}`));
      },
      onResponseData(_controller, chunk) {
        chunks.push(chunk);
      },
      onResponseEnd() {
        resolve(method === 'HEAD' ? undefined : JSON.parse(Buffer.concat(chunks).toString()));
      },
      onResponseError(_controller, error) {
        reject(error);
      },
    },
  );
  return promise;
}

async function readTag(repository: string, tag: string): Promise<void> {
  if (mode === 'rescan') {
    await ask(`/v2/${repository}/manifests/${tag}`, 'HEAD');
    if (repository !== changedRepository || tag !== changedTag) return;
  }
  const { manifests } = (await ask(`/v2/${repository}/manifests/${tag}`)) as { manifests: { digest: string }[] };
  await Promise.all(
    manifests.map(async ({ digest }) => {
      const { config } = (await ask(`/v2/${repository}/manifests/${digest}`)) as { config: { digest: string } };
      await ask(`/v2/${repository}/blobs/${config.digest}`);
    }),
  );
}

const { repositories } = (await ask('/v2/_catalog?n=1000')) as { repositories: string[] };
await Promise.all(
  repositories.map(async (repository) => {
    const { tags } = (await ask(`/v2/${repository}/tags/list?n=1000`)) as { tags: string[] };
    await Promise.all(tags.map((tag) => readTag(repository, tag)));
  }),
);
await pool.close();
