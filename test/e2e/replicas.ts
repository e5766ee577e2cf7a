/** Replicas of the service that share a database, behind nginx. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { ClientConfig } from 'pg';
import { request } from 'undici';
import { stringify } from 'yaml';
import { freePort } from '../peers/free-port.ts';
import { startNginx } from '../peers/nginx.ts';
import { type Postgresql, startPostgresql } from '../peers/postgresql.ts';
import { type Regindexer, startRegindexer } from '../peers/regindexer.ts';
import { type HangingProxy, startHangingProxy } from '../peers/hanging-proxy.ts';
import { AUTHORIZED, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';

/** A configuration without `store` and `server.port`. */
export interface ReplicaConfig {
  readonly server?: object;
  readonly [section: string]: unknown;
}

/** One replica; it reaches the database through a proxy of its own. */
export interface TestReplica extends AsyncDisposable {
  readonly service: Regindexer;
  readonly url: string;
  readonly proxy: HangingProxy;
  /** Writes another configuration, for its next start or reload. */
  configure(config: ReplicaConfig): Promise<void>;
}

export interface TestReplicas extends AsyncDisposable {
  /** URL of nginx. */
  readonly url: string;
  readonly all: readonly TestReplica[];
  readonly database: Postgresql;
  /** How the database of the replicas is reached without a proxy. */
  readonly connection: ClientConfig;
  /** Waits until exactly one replica leads, which is none of `others`; returns it. */
  leader(...others: readonly TestReplica[]): Promise<TestReplica>;
}

/** State of a replica, as its `/status` says. */
export interface SharingJson {
  readonly database: { readonly available: boolean };
  readonly ledSince?: string;
  readonly lag: number;
  readonly notReady?: string;
  readonly replicas: readonly {
    readonly name: string;
    readonly version: string;
    readonly configuration: string;
    readonly seenAt: string;
    readonly leads: boolean;
    readonly self: boolean;
  }[];
}

export interface TestReplicasOptions {
  readonly count: number;
  /** The configuration of replica `number`. */
  readonly config: (number: number) => ReplicaConfig;
  /** The port of nginx; a free one unless given. */
  readonly port?: number;
}

/** Starts replicas, and waits until all are ready. */
export async function startReplicas({ count, config, port }: TestReplicasOptions): Promise<TestReplicas> {
  await using started = new AsyncDisposableStack();
  const database = started.use(await startPostgresql());
  const connection = await database.createDatabase();
  const ports = await Promise.all(Array.from({ length: count }, () => freePort()));
  const all = await Promise.all(
    ports.map(async (own, number) => started.use(await startReplica(connection, config(number), own))),
  );
  const nginx = started.use(
    await startNginx({
      ...(port !== undefined && { port }),
      http: `upstream replicas {
        ${ports.map((own) => `server 127.0.0.1:${own} max_fails=0;`).join('\n')}
      }`,
      server: `location / {
        proxy_pass http://replicas;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection "";
        proxy_next_upstream error timeout http_503;
        proxy_connect_timeout 1s;
        proxy_read_timeout 3s;
      }`,
    }),
  );
  const replicas: TestReplicas = {
    url: nginx.url,
    all,
    database,
    connection,
    leader: (...others) => leaderOf(all.filter((replica) => !others.includes(replica))),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
  await Promise.all(all.map((replica) => eventually(() => isReady(replica))));
  const stack = started.move();
  return replicas;
}

/** Starts one replica, which need not be ready then. */
export async function startReplica(
  { port: databasePort = 0, user = '', database = '' }: ClientConfig,
  config: ReplicaConfig,
  port?: number,
): Promise<TestReplica> {
  await using started = new AsyncDisposableStack();
  const proxy = started.use(await startHangingProxy(databasePort));
  const own = port ?? (await freePort());
  const whole = ({ server, ...rest }: ReplicaConfig): object => ({
    ...rest,
    store: `postgres://${user}@127.0.0.1:${proxy.port}/${database}`,
    server: { admin_token: TOKEN, events_token: TOKEN, ...server, port: own },
  });
  const service = started.use(await startRegindexer({ config: whole(config) }));
  const stack = started.move();
  return {
    service,
    url: `http://127.0.0.1:${own}`,
    proxy,
    configure: (next) => writeFile(join(service.folder, 'config.yaml'), stringify(whole(next))),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Waits until exactly one of these leads; returns it. */
export function leaderOf(replicas: readonly TestReplica[]): Promise<TestReplica> {
  return eventually(async () => {
    const leading = await Promise.all(replicas.map(async (replica) => ((await leads(replica)) ? [replica] : [])));
    const [found, ...more] = leading.flat();
    assert.ok(found !== undefined && more.length === 0, 'none of these replicas leads, or more than one');
    return found;
  });
}

/** The name of a replica, as all of them tell it. */
export function nameOf({ url }: TestReplica): string {
  return `${hostname()}:${new URL(url).port}`;
}

/** Reads how a replica stands to the others. */
export async function sharingOf({ url }: TestReplica): Promise<SharingJson> {
  const { body } = await request(`${url}/status`, { headersTimeout: 1_000, bodyTimeout: 1_000, headers: AUTHORIZED });
  return ((await body.json()) as { sharing: SharingJson }).sharing;
}

/** @throws AssertionError unless the server is ready */
export async function isReady({ url }: Pick<TestReplica, 'url'>): Promise<void> {
  const { statusCode, body } = await request(`${url}/readyz`);
  const text = await body.text();
  assert.equal(statusCode, 200, text);
}

async function leads(replica: TestReplica): Promise<boolean> {
  try {
    return (await sharingOf(replica)).replicas.some(({ self, leads: its }) => self && its);
  } catch {
    return false;
  }
}
