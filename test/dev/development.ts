/**
 * The development environment: a registry with notifications, a broker, and the service, as programs of this machine;
 * or several replicas of the service with a database, behind nginx.
 */
import { randomBytes } from 'node:crypto';
import { pushSamples } from '../fixtures/samples.ts';
import { settled } from '../e2e/ask-server.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { freePort } from '../peers/free-port.ts';
import { type Nginx, startNginx } from '../peers/nginx.ts';
import { startPostgresql } from '../peers/postgresql.ts';
import { startRabbitmq } from '../peers/rabbitmq.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import type { Environment } from './environment.ts';

export interface DevelopmentOptions {
  /** Options of the service, before `serve`. */
  readonly args: readonly string[];
  /** How many replicas share a database; one service with a state of its own unless given. */
  readonly replicas?: number | undefined;
  /** Receives the output of the service, or of a replica. */
  readonly onOutput: (text: string, replica: number) => void;
}

export interface Development extends Environment, AsyncDisposable {
  /** The service, or its replicas. */
  readonly servers: readonly Regindexer[];
  /** The URL of the database that replicas share. */
  readonly database: string | undefined;
  readonly brokerUrl: string;
  readonly adminToken: string;
  readonly eventsToken: string;
}

/** Starts the environment on free ports, with the samples in the registry and in the index. */
export async function startDevelopment({ args, replicas, onOutput }: DevelopmentOptions): Promise<Development> {
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
  const database = replicas === undefined ? undefined : await createDatabase(resources);
  const ports = replicas === undefined ? [port] : await Promise.all(Array.from({ length: replicas }, () => freePort()));
  const servers: Regindexer[] = [];
  for (const [number, own] of ports.entries()) {
    const server = await startRegindexer({
      config: {
        ...(database !== undefined && { store: database }),
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
        server: {
          port: own,
          registry_proxy: true,
          // Flatpak would keep an index for max_age, and not see what has just been pushed.
          max_age: 0,
          ...(database !== undefined && { trust_proxy: 'loopback' }),
          admin_token: adminToken,
          events_token: eventsToken,
        },
        bus: { url: broker.url },
      },
      args,
      onOutput: (text) => onOutput(text, number),
    });
    servers.push(resources.use(server));
  }
  if (replicas !== undefined) resources.use(await startLoadBalancer(port, ports));
  const url = `http://127.0.0.1:${port}`;
  await settled(url);
  const all = resources.move();
  return {
    servers,
    database,
    url,
    registry: registry.host,
    broker: { host: broker.host, port: broker.port },
    brokerUrl: broker.url,
    adminToken,
    eventsToken,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Starts PostgreSQL, and returns the URL of an empty database. */
async function createDatabase(resources: AsyncDisposableStack): Promise<string> {
  const postgresql = resources.use(await startPostgresql());
  const { user = '', port, database = '' } = await postgresql.createDatabase();
  return `postgres://${user}@127.0.0.1:${port}/${database}`;
}

/** Starts nginx in front of replicas. */
function startLoadBalancer(port: number, replicas: readonly number[]): Promise<Nginx> {
  return startNginx({
    port,
    http: `upstream replicas {
      ${replicas.map((each) => `server 127.0.0.1:${each} max_fails=0;`).join('\n')}
    }`,
    server: `location / {
      proxy_pass http://replicas;
      proxy_next_upstream error timeout http_503 non_idempotent;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
    }`,
  });
}
