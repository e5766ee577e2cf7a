import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { rootCertificates } from 'node:tls';
import * as fc from 'fast-check';
import {
  findCertificateFiles,
  parseCertificates,
  sortCertificateFiles,
} from '../../../../src/registry/http/access/certificate-files.ts';
import { temporaryFolder } from './access-folder.ts';

const [ONE = '', TWO = ''] = rootCertificates;

test('authorities, client certificates and keys are recognised by their extensions', () => {
  assert.deepEqual(sortCertificateFiles('/d', ['b.crt', 'client.key', 'README', 'a.crt', 'client.cert', 'crt']), {
    authorities: ['/d/a.crt', '/d/b.crt'],
    client: { cert: '/d/client.cert', key: '/d/client.key' },
  });
  assert.deepEqual(sortCertificateFiles('/d', ['z.cert', 'z.key', 'a.key', 'a.cert']).client, {
    cert: '/d/a.cert',
    key: '/d/a.key',
  });
  assert.deepEqual(sortCertificateFiles('/d', []), { authorities: [], client: undefined });
});

test('an incomplete pair is an error', () => {
  assert.throws(
    () => sortCertificateFiles('/d', ['client.cert', 'other.key']),
    /^Error: \/d\/client\.cert has no key beside it \(client\.key\); an authority's certificate ends in \.crt$/,
  );
  assert.throws(
    () => sortCertificateFiles('/d', ['other.key']),
    /^Error: \/d\/other\.key has no certificate beside it \(other\.cert\)$/,
  );
});

test('folders are named by host and port, of which the default port may be left out', async (t) => {
  const [first, second] = [temporaryFolder(t), temporaryFolder(t)];
  for (const path of ['example.org/a.crt', 'example.org:443/b.crt', 'example.org:5000/c.crt']) {
    mkdirSync(join(first, path, '..'), { recursive: true });
    writeFileSync(join(first, path), '');
  }
  mkdirSync(join(second, 'example.org'));
  for (const name of ['d.crt', 'client.cert', 'client.key']) writeFileSync(join(second, 'example.org', name), '');

  const missing = join(first, 'missing');
  assert.deepEqual(await findCertificateFiles([missing, first, second], 'https://example.org'), {
    authorities: [
      join(first, 'example.org/a.crt'),
      join(first, 'example.org:443/b.crt'),
      join(second, 'example.org/d.crt'),
    ],
    client: { cert: join(second, 'example.org/client.cert'), key: join(second, 'example.org/client.key') },
  });
  assert.deepEqual((await findCertificateFiles([first, second], 'https://example.org:5000')).authorities, [
    join(first, 'example.org:5000/c.crt'),
  ]);
  assert.deepEqual((await findCertificateFiles([first, second], 'https://[::1]:5000')).authorities, []);
});

test('a file may hold several certificates, and text between them', () => {
  assert.deepEqual(parseCertificates(`# one\n${ONE}\nand another: \r\n${TWO.replaceAll('\n', '\r\n')}`).length, 2);
});

test('a file without a certificate, or with an invalid one, is an error', () => {
  assert.throws(
    () => parseCertificates('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----'),
    /^Error: it holds no certificate/,
  );
  assert.throws(
    () => parseCertificates(`${ONE}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----`),
    /^Error: its certificate 2 cannot be read/,
  );
});

test('any files give certificates or an Error', () => {
  const name = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom('client', '.', 'crt', '.cert', '.key', '/', 'ca')).map((parts) => parts.join('')),
  );
  const text = fc.oneof(
    fc.string(),
    fc
      .array(
        fc.constantFrom(
          '-----BEGIN CERTIFICATE-----',
          '-----END CERTIFICATE-----',
          '\n',
          'AAAA',
          '-',
          ONE.slice(27, 200),
          ONE,
        ),
      )
      .map((parts) => parts.join('')),
  );
  fc.assert(fc.property(fc.array(name), (names) => isTold(() => sortCertificateFiles('/d', names))));
  fc.assert(fc.property(text, (pem) => isTold(() => parseCertificates(pem))));
});

/** Says whether `read` returns, or throws an Error. */
function isTold(read: () => unknown): boolean {
  try {
    return read() !== undefined;
  } catch (error) {
    return (
      error instanceof Error &&
      /has no (key|certificate) beside it|holds no certificate|cannot be read/.test(error.message)
    );
  }
}
