/** The registry of 2,000 images that is read and served. */
import { request } from 'undici';
import type { DockerRegistry } from '../peers/docker-registry.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { freePort } from '../peers/free-port.ts';
import { pushRandom } from '../sources/push-random.ts';
import { usualApps } from './random-state.ts';

export const APPS = usualApps(500);
export const IMAGES = APPS.repositories * APPS.tags.length * APPS.architectures.length;

export interface FilledRegistry extends DockerRegistry {
  /** The requests that it has answered by its own count. */
  readonly requestsCounted: () => Promise<number>;
}

/** Starts docker-registry and fills it. Its access log is off, which would cost it more than counting. */
export async function startFilledRegistry(): Promise<FilledRegistry> {
  await using started = new AsyncDisposableStack();
  const metrics = `127.0.0.1:${await freePort()}`;
  const registry = started.use(
    await startDockerRegistry({
      sections: { log: { level: 'warn', accesslog: { disabled: true } }, http: { debug: { addr: metrics, prometheus: { enabled: true } } } },
    }),
  );
  process.stderr.write(`pushing ${IMAGES} images to a registry\n`);
  await pushRandom(registry.url, APPS);
  started.move();
  return Object.assign(registry, {
    requestsCounted: async () => {
      const { body } = await request(`http://${metrics}/metrics`);
      let requests = 0;
      for (const [, value] of (await body.text()).matchAll(/^registry_http_requests_total\{.*\} (\d+)$/gm)) requests += Number(value);
      return requests;
    },
  });
}
