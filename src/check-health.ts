/** `regindexer health`: asks the server that runs with the same configuration whether it is alive, for health checks of containers. */
import type { IncomingMessage } from 'node:http';
import http from 'node:http';
import https from 'node:https';
import type { Config } from './config/config.ts';

/** Milliseconds. */
const PATIENCE = 5_000;
const LOOPBACK: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** Resolves if the server answers `/healthz` as it should; else rejects with the reason. */
export async function checkHealth({ server: { host, port, tls } }: Config): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = { host: LOOPBACK[host] ?? host, port, path: '/healthz', timeout: PATIENCE, agent: false as const };
  // It is this machine's own server, whatever name its certificate is for.
  const request = tls === undefined ? http.get(options, resolve) : https.get({ ...options, rejectUnauthorized: false }, resolve);
  request.on('error', reject).on('timeout', () => request.destroy(new Error(`no answer within ${PATIENCE / 1000} s`)));
  const { statusCode } = (await promise).resume();
  if (statusCode !== 200) throw new Error(`/healthz answered ${statusCode}`);
}
