import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseBusUrl } from '../../../src/triggers/bus/bus-url.ts';

test('a URL says where the broker is and how to log in', () => {
  assert.deepEqual(parseBusUrl('stomp://guest:gu%40est@bus.example:1234/fedora%2Fdev'), {
    protocol: 'stomp',
    tls: false,
    host: 'bus.example',
    port: 1234,
    virtualHost: 'fedora/dev',
    login: 'guest',
    passcode: 'gu@est',
    url: 'stomp://bus.example:1234/fedora%2Fdev',
  });
});

test('parts that a URL leaves out have defaults', () => {
  assert.deepEqual(parseBusUrl('stomp://localhost'), {
    protocol: 'stomp',
    tls: false,
    host: 'localhost',
    port: 61613,
    virtualHost: '/',
    url: 'stomp://localhost',
  });
  assert.deepEqual(parseBusUrl('stomps://[::1]/'), {
    protocol: 'stomp',
    tls: true,
    host: '::1',
    port: 61614,
    virtualHost: '/',
    url: 'stomps://[::1]/',
  });
  assert.equal(parseBusUrl('stomp://localhost/%2F').virtualHost, '/');
  assert.deepEqual(parseBusUrl('amqp://localhost'), {
    protocol: 'amqp',
    tls: false,
    host: 'localhost',
    port: 5672,
    virtualHost: '/',
    url: 'amqp://localhost',
  });
  // As Fedora gives it.
  assert.deepEqual(parseBusUrl('amqps://fedora:@rabbitmq.example/%2Fpublic_pubsub'), {
    protocol: 'amqp',
    tls: true,
    host: 'rabbitmq.example',
    port: 5671,
    virtualHost: '/public_pubsub',
    login: 'fedora',
    url: 'amqps://rabbitmq.example/%2Fpublic_pubsub',
  });
});

test('an invalid URL is refused without quoting the passcode', () => {
  for (const [url, expected] of [
    ['http://u:s3cret@host', /^expected stomp:\/\/HOST/],
    ['u:s3cret@host', /^expected stomp:\/\/HOST/],
    ['stomp://u:s3cret@', /^expected stomp:\/\/HOST/],
    ['stomp://u:s3cret/x@host', /percent-encoded/],
    ['stomp://u:123/s3cret@host', /%2F/],
    ['stomp://u:s3cret?x@host', /%3F/],
    ['stomp://u:s3cret@host/#x', /%23/],
    ['stomp://u:s3cret%@host', /the passcode .*%25/],
    ['stomp://u:s3cret%0Ax@host', /the passcode .*line break/],
    ['stomp://u:s3cret@host/a%00b', /the virtual host .*NUL/],
  ] as const) {
    assert.throws(
      () => parseBusUrl(url),
      (error) => error instanceof TypeError && expected.test(error.message) && !error.message.includes('s3cret'),
      url,
    );
  }
});

test('any login, passcode and virtual host can be written', () => {
  const plain = fc
    .string({ unit: 'binary' })
    .filter((text) => text !== '' && text.isWellFormed() && !/[\r\n\0]/.test(text));
  fc.assert(
    fc.property(plain, plain, plain, (login, passcode, virtualHost) => {
      // Dots in a path are removed (RFC 3986, section 5.2.4).
      fc.pre(!/^\.+$/.test(virtualHost));
      const address = parseBusUrl(
        `stomp://${encodeURIComponent(login)}:${encodeURIComponent(passcode)}@host/${encodeURIComponent(virtualHost)}`,
      );
      assert.deepEqual([address.login, address.passcode, address.virtualHost], [login, passcode, virtualHost]);
    }),
  );
});

test('any text is read or refused with a TypeError', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `stomp://${text}`),
      ),
      (text) => {
        try {
          parseBusUrl(text);
        } catch (error) {
          assert.ok(error instanceof TypeError);
        }
      },
    ),
  );
});
