/**
 * The floor of serving: Fastify with handlers that return constants, and one that tells the delay of its event loop as
 * `/status` of regindexer does. `node bare-server.ts FILE [PORT]` prints its URL; several can have one port.
 */
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import fastify from 'fastify';

interface Answer {
  readonly route: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** In base64. */
  readonly body: string;
}

const app = fastify();
for (const { route, status, headers, body } of JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Answer[]) {
  const buffer = body === '' ? undefined : Buffer.from(body, 'base64');
  app.get(route, (_request, reply) => reply.code(status).headers(headers).send(buffer));
}

/** Milliseconds; what is measured is the time from one measurement to the next. */
const RESOLUTION = 20;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
delay.enable();
app.get('/status', (_request, reply) =>
  reply.send({ eventLoopDelay: { p99: beyondResolution(delay.percentile(99)), max: beyondResolution(delay.max) } }),
);

function beyondResolution(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e6 - RESOLUTION);
}

// Fastify hands this to the server, though its types do not name `reusePort`.
const listenOptions = { host: '127.0.0.1', port: Number(process.argv[3] ?? 0), reusePort: true };
process.stdout.write(`${await app.listen(listenOptions)}\n`);
