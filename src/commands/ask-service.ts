/** Asks the service that runs on this machine with the same configuration. */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import http from 'node:http';
import https from 'node:https';
import type { Config } from '../config/config.ts';

/** In milliseconds. */
const TIMEOUT = 5_000;
const LOOPBACK: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** Requests `path`; rejects if nothing answers. */
export async function askService(
  { server: { host, port, tls } }: Config,
  path: string,
  headers: OutgoingHttpHeaders = {},
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = { host: LOOPBACK[host] ?? host, port, path, headers, timeout: TIMEOUT, agent: false as const };
  // The certificate is for another name than that of the loopback address.
  const request =
    tls === undefined ? http.get(options, resolve) : https.get({ ...options, rejectUnauthorized: false }, resolve);
  request.on('error', reject).on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT / 1000} s`)));
  return promise;
}
