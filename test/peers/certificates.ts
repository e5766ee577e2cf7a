/** Certificates for TLS on this machine, made with openssl and valid for a day. */
import { join } from 'node:path';
import { bareEnvironment } from './peer.ts';
import { runCommand } from './run-command.ts';

/** Paths of PEM files. */
export interface Certificates {
  readonly authority: string;
  /** Certificate for `localhost`, 127.0.0.1 and `registry.test`. */
  readonly certificate: string;
  readonly key: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
}

/** Makes an authority, and certificates of a server and of a client that it signed, as files in `folder`. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const file = (name: string): string => join(folder, name);
  const request = async (name: string, ...options: readonly string[]): Promise<void> => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', file(`${name}.key`)];
    await runCommand('openssl', ['req', '-x509', '-days', '1', ...key, '-out', file(`${name}.crt`), ...options], {
      env: bareEnvironment(folder),
    });
  };
  const signed = [
    '-CA',
    file('authority.crt'),
    '-CAkey',
    file('authority.key'),
    '-addext',
    'basicConstraints=critical,CA:FALSE',
  ];
  await request('authority', '-subj', '/CN=regindexer test authority');
  await Promise.all([
    request(
      'server',
      '-subj',
      '/CN=localhost',
      ...signed,
      '-addext',
      'subjectAltName=DNS:localhost,DNS:registry.test,IP:127.0.0.1',
    ),
    request('client', '-subj', '/CN=regindexer test client', ...signed, '-addext', 'extendedKeyUsage=clientAuth'),
  ]);
  return {
    authority: file('authority.crt'),
    certificate: file('server.crt'),
    key: file('server.key'),
    clientCertificate: file('client.crt'),
    clientKey: file('client.key'),
  };
}
