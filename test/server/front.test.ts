import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import fastify, { type FastifyInstance } from 'fastify';
import { Front } from '../../src/server/front.ts';
import { RawConnection } from './raw-connection.ts';

/** An app that says its name, and at `/slow` only when it is told to. */
async function named(name: string): Promise<{ app: FastifyInstance; asked: Promise<void>; answer: () => void }> {
  const app = fastify();
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
  const { promise: told, resolve: answer } = Promise.withResolvers<void>();
  app.get('/', () => name);
  app.get('/slow', async () => {
    ask();
    await told;
    return name;
  });
  await app.ready();
  return { app, asked, answer };
}

async function start(t: TestContext, app: FastifyInstance): Promise<{ front: Front; port: number }> {
  const front = new Front(app);
  const port = await front.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => front.close(0));
  return { front, port };
}

/** Who answers. */
async function say(through: RawConnection): Promise<string> {
  through.send('GET / HTTP/1.1\nHost: a\n\n');
  return (await through.answer()).body.toString();
}

test('another app answers on the same connection, and what the first was asked it answers to its end', async (t) => {
  const [first, second] = [await named('first'), await named('second')];
  const { front, port } = await start(t, first.app);
  using connection = RawConnection.open(port);
  using slow = RawConnection.open(port);
  assert.equal(await say(connection), 'first');
  slow.send('GET /slow HTTP/1.1\nHost: a\n\n');
  await first.asked;

  let ended = false;
  const ending = front.use(second.app).then(() => (ended = true));
  assert.equal(await say(connection), 'second');
  await first.app.close();
  assert.equal(ended, false);
  first.answer();
  assert.equal((await slow.answer()).body.toString(), 'first');
  await ending;
  assert.equal(await say(slow), 'second');
});

test('an app that has nothing to answer is left at once', async (t) => {
  const [first, second] = [await named('first'), await named('second')];
  const { front } = await start(t, first.app);
  await front.use(second.app);
});

test('a stop waits for what either app was asked', async (t) => {
  const [first, second] = [await named('first'), await named('second')];
  const { front, port } = await start(t, first.app);
  using slow = RawConnection.open(port);
  using slower = RawConnection.open(port);
  slow.send('GET /slow HTTP/1.1\nHost: a\n\n');
  await first.asked;
  void front.use(second.app);
  slower.send('GET /slow HTTP/1.1\nHost: a\n\n');
  await second.asked;
  const closed = once(front.server, 'close');
  const closing = front.close(60_000);
  first.answer();
  assert.equal((await slow.answer()).body.toString(), 'first');
  second.answer();
  assert.equal((await slower.answer()).body.toString(), 'second');
  await Promise.all([closing, closed]);
});

test('without TLS there is no certificate to change', async (t) => {
  const { front } = await start(t, (await named('first')).app);
  assert.throws(() => front.secure({ cert: Buffer.alloc(0), key: Buffer.alloc(0) }), /listens without TLS/);
});
