/** Opens connections, with TLS for `https:`. */
import { isIP, type Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { callbackify } from 'node:util';
import { buildConnector } from 'undici';
import type { Certificates } from '../access/certificates.ts';
import type { PrivateAddresses } from '../access/private-addresses.ts';

/** Opens a connection, inside `httpSocket` if there is one. */
export type Connect = (target: buildConnector.Options) => Promise<Socket>;

/** The error codes of Node.js for a certificate of an unknown authority. */
const UNTRUSTED: ReadonlySet<unknown> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/**
 * Creates a function that opens connections.
 * @param timeout for opening one connection, in milliseconds
 * @param addresses checks the hosts; all are allowed if absent
 */
export function createConnect(certificates: Certificates, timeout: number, addresses?: PrivateAddresses): Connect {
  const options = { timeout, ...(addresses && { lookup: addresses.lookup }) };
  const connectPlain = asPromise(buildConnector(options));
  const secure = new WeakMap<SecureContext, Connect>();
  const connectWith = (context: SecureContext): Connect => {
    let connect = secure.get(context);
    if (connect === undefined) {
      connect = asPromise(buildConnector({ ...options, secureContext: context, allowH2: false }));
      secure.set(context, connect);
    }
    return connect;
  };
  return async (target) => {
    // Addresses are not passed to `lookup`, which checks names.
    if (isIP(target.hostname) !== 0) await addresses?.check(target.hostname);
    if (target.protocol !== 'https:') return connectPlain(target);
    const host = target.host ?? target.hostname;
    const connect = connectWith(await certificates.contextFor(`https://${host}`));
    return connect(target).catch((error: unknown) => {
      throw explained(error, host);
    });
  };
}

/** Adapts `connect` to undici's callbacks. */
export function asConnector(connect: Connect): buildConnector.connector {
  const connectAndCall = callbackify(connect);
  return (target, callback) => {
    connectAndCall(target, (error: Error | null, socket) => {
      if (error === null) callback(null, socket);
      else callback(error, null);
    });
  };
}

function asPromise(connect: buildConnector.connector): Connect {
  return (target) =>
    new Promise((resolve, reject) => {
      connect(target, (...[error, socket]) => {
        if (error === null) resolve(socket);
        else reject(error);
      });
    });
}

function explained(error: unknown, host: string): unknown {
  if (!(error instanceof Error && 'code' in error && UNTRUSTED.has(error.code))) return error;
  const advice = `set the registry's ca_file, or put the authority's certificate into /etc/containers/certs.d/${host}/NAME.crt`;
  return new Error(`${error.message}: the certificate of ${host} is not signed by a trusted authority; ${advice}`, {
    cause: error,
  });
}
