/**
 * The development environment: a registry with notifications, a broker, and the service, as programs of this machine.
 */
import { randomBytes } from 'node:crypto';
import { pushSamples } from '../fixtures/samples.ts';
import { settled } from '../e2e/ask-server.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { freePort } from '../peers/free-port.ts';
import { startRabbitmq } from '../peers/rabbitmq.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import type { Environment } from './environment.ts';

export interface DevelopmentOptions {
  /** Options of the service, before `serve`. */
  readonly args: readonly string[];
  /** Receives the output of the service. */
  readonly onOutput: (text: string) => void;
}

export interface Development extends Environment, AsyncDisposable {
  readonly server: Regindexer;
  readonly brokerUrl: string;
  readonly adminToken: string;
  readonly eventsToken: string;
}

/** Starts the environment on free ports, with the samples in the registry and in the index. */
export async function startDevelopment({ args, onOutput }: DevelopmentOptions): Promise<Development> {
  await using resources = new AsyncDisposableStack();
  const [adminToken, eventsToken] = [randomBytes(12).toString('hex'), randomBytes(12).toString('hex')];
  // The service and the registry need each other's address.
  const port = await freePort();
  const starting = [
    startDockerRegistry({ notifications: { url: `http://127.0.0.1:${port}/events`, token: eventsToken } }),
    startRabbitmq(),
  ] as const;
  // If one does not start, the other must still be stopped.
  for (const peer of await Promise.allSettled(starting)) if (peer.status === 'fulfilled') resources.use(peer.value);
  const [registry, broker] = await Promise.all(starting);
  await pushSamples(registry.host);
  const server = resources.use(
    await startRegindexer({
      config: {
        indexes: {
          apps: {
            title: 'Development',
            registry: registry.url,
            registry_public: '/',
            tags: ['latest'],
            required_labels: ['org.flatpak.ref'],
            extract_icons: true,
          },
        },
        // Flatpak would keep an index for max_age, and not see what has just been pushed.
        server: { port, registry_proxy: true, max_age: 0, admin_token: adminToken, events_token: eventsToken },
        bus: { url: broker.url },
      },
      args,
      onOutput,
    }),
  );
  await settled(server.url);
  const all = resources.move();
  return {
    server,
    url: server.url,
    registry: registry.host,
    broker: { host: broker.host, port: broker.port },
    brokerUrl: broker.url,
    adminToken,
    eventsToken,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
