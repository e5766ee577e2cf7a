/** A further thread that serves: the same routes from the same memory, on the same port as the first. */
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import type { SharedSnapshot } from '../indexing/snapshot/snapshot.ts';
import { Snapshot } from '../indexing/snapshot/snapshot.ts';
import { openPulls } from '../pulls.ts';
import { gracefulClose } from '../server/graceful-close.ts';
import { PublishedIndex } from '../server/published-index.ts';
import { TooBusy } from '../server/server-error.ts';
import { createServer } from '../server/server.ts';
import { answerCalls, Calls } from './calls.ts';
import type { MainMethods, ServeOptions } from './serving-threads.ts';

/** A line of the log, for the thread that writes it. */
export interface LogEvent {
  readonly line: string;
}

export interface ServeMethods {
  /** Serves a snapshot from now on. */
  use(signal: AbortSignal, shared: SharedSnapshot): Promise<void>;
  listen(signal: AbortSignal, host: string, port: number): Promise<void>;
  /** Stops the server; see {@link gracefulClose}. */
  close(signal: AbortSignal, graceMs: number): Promise<void>;
  [method: string]: (signal: AbortSignal, ...args: never[]) => Promise<void>;
}

if (parentPort) serve(parentPort, workerData as ServeOptions);

function serve(main: MessagePort, { level, indexes: published, pulls: pullOptions, ...options }: ServeOptions): void {
  const calls = new Calls<MainMethods>(main);
  const indexes = new Map(published.map(({ name, fileName, maxAge }) => [name, new PublishedIndex(name, fileName, maxAge)]));
  /** Settles when the snapshots so far are served: one after the other, so that the last one stays. */
  let using: Promise<void> = Promise.resolve();
  let stop: ((graceMs: number) => Promise<void>) | undefined;

  const opened = openPulls(pullOptions);
  const create = async (): Promise<FastifyInstance> => {
    const { pullSources, registryProxy } = await opened;
    return createServer({
      ...options,
      logger: pino({ level, base: null, timestamp: false }, { write: (line) => log({ line }) }),
      indexes,
      answer: async (question) => {
        const answer = await calls.call('answer', [question]);
        if (answer === 'busy') throw new TooBusy();
        return answer === 'whole' ? answer : { ...answer, body: Buffer.from(answer.body.buffer, answer.body.byteOffset, answer.body.length) };
      },
      pullSources,
      registryProxy,
      forward: (request) => calls.call('forward', [request]),
    });
  };

  const methods: ServeMethods = {
    use: async (_signal, shared) => {
      const used = using.then(async () => indexes.get(shared.footer.index)?.use(await Snapshot.openShared(shared)));
      using = used.catch(() => undefined);
      await used;
    },
    listen: async (_signal, host, port) => {
      const server = await create();
      stop = gracefulClose(server);
      const address = { host, port, reusePort: true };
      await server.listen(address);
    },
    close: async (_signal, graceMs) => {
      await stop?.(graceMs);
      await (await opened).close();
      for (const { snapshot } of indexes.values()) await snapshot?.close();
    },
  };
  const log: (event: LogEvent) => void = answerCalls(main, methods);
}
