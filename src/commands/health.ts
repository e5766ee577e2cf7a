/**
 * `regindexer health`: asks the service that runs with the same configuration whether it is alive, for health checks of
 * containers.
 */
import type { IncomingMessage } from 'node:http';
import http from 'node:http';
import https from 'node:https';
import type { Config } from '../config/config.ts';
import { messageOf } from '../system/message-of.ts';
import { type Configure, FAILURE, SUCCESS } from './command.ts';

/** In milliseconds. */
const TIMEOUT = 5_000;
const LOOPBACK: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** Exits with 0 if the service answers, else prints the reason. */
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

/** Resolves if `/healthz` answers 200, else rejects with the reason. */
async function checkHealth({ server: { host, port, tls } }: Config): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = { host: LOOPBACK[host] ?? host, port, path: '/healthz', timeout: TIMEOUT, agent: false as const };
  // The certificate is for another name than that of the loopback address.
  const request =
    tls === undefined ? http.get(options, resolve) : https.get({ ...options, rejectUnauthorized: false }, resolve);
  request.on('error', reject).on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT / 1000} s`)));
  const { statusCode } = (await promise).resume();
  if (statusCode !== 200) throw new Error(`/healthz answered ${statusCode}`);
}
