/** `regindexer health`: asks the service that runs with the same configuration whether it is alive, for health checks of containers. */
import type { IncomingMessage } from 'node:http';
import http from 'node:http';
import https from 'node:https';
import type { Config } from '../config/config.ts';
import { messageOf } from '../system/message-of.ts';
import { type Configure, FAILURE, SUCCESS } from './command.ts';

/** Milliseconds. */
const PATIENCE = 5_000;
const LOOPBACK: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

export async function health(configure: Configure): Promise<number> {
  const { config } = await configure();
  try {
    await checkHealth(config);
    return SUCCESS;
  } catch (error) {
    process.stderr.write(`regindexer: health check failed: ${messageOf(error)}\n`);
    return FAILURE;
  }
}

/** Resolves if the service answers `/healthz` as it should; else rejects with the reason. */
async function checkHealth({ server: { host, port, tls } }: Config): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = { host: LOOPBACK[host] ?? host, port, path: '/healthz', timeout: PATIENCE, agent: false as const };
  // It is this machine's own server, whatever name its certificate is for.
  const request = tls === undefined ? http.get(options, resolve) : https.get({ ...options, rejectUnauthorized: false }, resolve);
  request.on('error', reject).on('timeout', () => request.destroy(new Error(`no answer within ${PATIENCE / 1000} s`)));
  const { statusCode } = (await promise).resume();
  if (statusCode !== 200) throw new Error(`/healthz answered ${statusCode}`);
}
