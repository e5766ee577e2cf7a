/** A registry over TLS for tests, which asks for a client certificate. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { Certificates } from '../../../peers/certificates.ts';
import { sendJson, type Answer, type Played } from '../play-registry.ts';

/** Starts it until the test ends. By default it answers with the name in the client's certificate as the only tag. */
export async function playSecurely(
  t: TestContext,
  certificates: Certificates,
  answer?: Answer,
): Promise<Played & { readonly host: string }> {
  const seen: string[] = [];
  let connections = 0;
  const { certificate, key, authority } = certificates;
  const tls = {
    cert: readFileSync(certificate),
    key: readFileSync(key),
    ca: readFileSync(authority),
    requestCert: true,
    rejectUnauthorized: false,
  };
  const server = createServer(tls, (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    if (answer) answer(request as typeof request & { url: string }, response);
    else sendJson(response, { tags: [clientOf(request.socket)] });
  });
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url: `https://${host}`, host, seen, connections: () => connections };
}

/** The name in the client's certificate, as a tag. */
export function clientOf(socket: Socket): string {
  const { subject } = (socket as TLSSocket).getPeerCertificate() as Partial<PeerCertificate>;
  return subject === undefined ? 'nobody' : String(subject.CN).replaceAll(' ', '-');
}
