import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { connect } from 'node:tls';
import { startActivemq } from './activemq.ts';
import { makeCertificates } from './certificates.ts';
import { needs } from './installed.ts';
import { startRabbitmq } from './rabbitmq.ts';
import { connectStomp, type Broker, type StompMessage } from './stomp.ts';

/** Subscribes, publishes `body`, and acknowledges the message. */
async function exchange(broker: Broker, body: string): Promise<string> {
  await using connection = await connectStomp(broker);
  const { promise, resolve } = Promise.withResolvers<StompMessage>();
  connection.subscribe('/topic/org.example.compose', resolve);
  await connection.publish('/topic/org.example.compose', body);
  const message = await promise;
  message.ack();
  return message.body;
}

suite('brokers deliver a message, also after they were stopped and started again', { concurrency: true }, () => {
  test('ActiveMQ', needs('activemq'), async () => {
    await using broker = await startActivemq();
    assert.equal(await exchange(broker, '{"ctype":"flatpak"}'), '{"ctype":"flatpak"}');
    await broker.stop();
    await broker.start();
    assert.equal(await exchange(broker, 'again'), 'again');
  });

  test(
    'RabbitMQ, which also speaks TLS to clients with a certificate',
    needs('rabbitmq-server', 'openssl'),
    async () => {
      await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-certificates-'));
      const certificates = await makeCertificates(folder.path);
      await using broker = await startRabbitmq({ certificates });
      assert.equal(await exchange(broker, '{"ctype":"flatpak"}'), '{"ctype":"flatpak"}');
      await broker.stop();
      await broker.start();
      assert.equal(await exchange(broker, 'again'), 'again');

      const [ca, cert, key] = await Promise.all(
        [certificates.authority, certificates.clientCertificate, certificates.clientKey].map(async (file) =>
          readFile(file),
        ),
      );
      const socket = connect({ host: '127.0.0.1', port: Number(new URL(broker.tlsUrl).port), ca, cert, key });
      socket.write('CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0');
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      assert.match(answer.toString(), /^CONNECTED\n/);
    },
  );
});
