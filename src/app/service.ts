/** The running service: it locks the state, listens, and follows changes of its configuration and certificates. */
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { StateLock } from '../store/state-lock.ts';
import { configWarnings } from '../config/config-warnings.ts';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/problems.ts';
import { keptUntilRestart } from '../config/kept-until-restart.ts';
import { signedReferences } from '../config/client-references.ts';
import { messageOf } from '../system/message-of.ts';
import { Figures } from '../server/figures.ts';
import { KeyPairWatch, readKeyPair } from '../server/http/key-pair.ts';
import type { ServedIndex } from '../server/documents/served-index.ts';
import { Server } from '../server/server.ts';
import { Generation } from './generation.ts';
import { GRACE } from './leader.ts';
import { Replica } from './replica.ts';
import { version } from '../system/version.ts';

/** A running service. */
export interface Service {
  /** URL for clients: `server.base_url`, or the address that it listens at. */
  readonly url: string;
  /** URL that it listens at. */
  readonly address: string;
  /** Served indexes by their names. */
  readonly indexes: ReadonlyMap<string, ServedIndex>;
  /** Resolves when the rebuild at the start has ended, successfully or not. */
  readonly started: Promise<void>;
  /** Resolves when a rebuild has made the default index for the first time. */
  readonly defaultIndexReady: Promise<void>;
  /**
   * Reloads configuration and certificates without interrupting requests. On an error it logs it and keeps the previous
   * configuration. Resolves when the reload is complete; never rejects.
   */
  reload(read: () => Config): Promise<void>;
  /** Stops accepting connections, gives pending requests 10 s, and closes the store. */
  close(): Promise<void>;
}

/**
 * Starts a service: it answers from the store at once, and then rebuilds everything.
 * @throws StateLockedError if another process uses the `state_dir`; KeyPairError if the certificate cannot be used; the
 * system's error if the address is taken.
 */
export async function startService(config: Config, logger: Logger): Promise<Service> {
  const startedAt = Date.now();
  const lock = StateLock.acquire(config.stateDir);
  try {
    return await RunningService.start(config, logger, lock, startedAt);
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Objects that every generation shares. */
interface SharedObjects {
  readonly logger: Logger;
  readonly lock: StateLock;
  readonly figures: Figures;
  readonly defaultIndexReady: PromiseWithResolvers<void>;
  /** Set if several replicas share the store. */
  readonly replica: Replica | undefined;
}

class RunningService implements Service {
  readonly url: string;
  readonly address: string;
  readonly started: Promise<void>;
  readonly #shared: SharedObjects;
  readonly #server: Server;
  /** The generation that answers. */
  #generation: Generation;
  #watch: KeyPairWatch | undefined;
  readonly #closing = new AbortController();
  /** Settles when all changes so far are in effect. */
  #changing: Promise<void> = Promise.resolve();
  /** Replaced generations that still have pending requests. */
  readonly #replaced = new Set<Promise<void>>();

  /** @param address the URL that it listens at */
  private constructor(shared: SharedObjects, server: Server, generation: Generation, address: string) {
    this.#shared = shared;
    this.#server = server;
    this.#generation = generation;
    this.url = generation.config.server.baseUrl ?? address;
    this.address = address;
    this.started = generation.begin('start');
    this.#watchKeyPair();
  }

  static async start(config: Config, logger: Logger, lock: StateLock, startedAt: number): Promise<Service> {
    const { host, port, tls: files } = config.server;
    const tls = files && (await readKeyPair(files));
    logWarnings(config, logger);
    const figures = new Figures();
    figures.collectProcess();
    await using opened = new AsyncDisposableStack();
    const replica =
      config.store &&
      (await Replica.open({
        store: config.store,
        stateDir: config.stateDir,
        name: port === 0 ? hostname() : `${hostname()}:${port}`,
        logger,
      }));
    opened.defer(() => replica?.stop());
    const shared: SharedObjects = { logger, lock, figures, defaultIndexReady: Promise.withResolvers(), replica };
    const generation = await openGeneration(config, shared);
    opened.defer(() => generation.close());
    const server = await Server.create(
      { logger: serverLogger(logger), figures, version, startedAt, tls },
      generation.site,
    );
    opened.defer(() => server.close(0));
    const address = urlOf(host, await server.listen({ host, port }), tls !== undefined);
    const service = new RunningService(shared, server, generation, address);
    opened.move();
    return service;
  }

  get indexes(): ReadonlyMap<string, ServedIndex> {
    return this.#generation.indexes;
  }

  get defaultIndexReady(): Promise<void> {
    return this.#shared.defaultIndexReady.promise;
  }

  reload(read: () => Config): Promise<void> {
    return this.#inTurn(async () => {
      const { logger } = this.#shared;
      try {
        await this.#follow(read());
      } catch (error) {
        if (error instanceof ConfigError)
          logger.error(`the configuration is not valid; the previous one stays in effect:\n${error.message}`);
        else
          logger.error(
            { err: error },
            `the configuration cannot be used; the previous one stays in effect: ${messageOf(error)}`,
          );
      }
    });
  }

  async close(): Promise<void> {
    const { lock, replica } = this.#shared;
    this.#closing.abort();
    this.#watch?.[Symbol.dispose]();
    await this.#changing;
    try {
      await Promise.all([
        this.#server.close(GRACE),
        this.#generation.stopRebuilding(0, this.#closing.signal),
        // Not after the pending requests: what they wait for may be up to the next leader.
        replica?.leave(),
      ]);
      await this.#generation.close();
      await Promise.all(this.#replaced);
      await replica?.stop();
    } finally {
      lock.release();
    }
  }

  async #follow(written: Config): Promise<void> {
    const { logger } = this.#shared;
    const before = this.#generation;
    const { config, keys } = keptUntilRestart(before.config, written);
    const tls = config.server.tls && (await readKeyPair(config.server.tls));
    const next = await openGeneration(config, this.#shared);
    try {
      if (tls) this.#server.secure(tls);
    } catch (error) {
      await next.close();
      throw error;
    }
    // From here on, nothing can fail.
    this.#generation = next;
    const ended = this.#server.use(next.site);
    this.#shared.replica?.follow(next);
    this.#watchKeyPair();
    for (const key of keys) logger.warn(`${key} has changed; the new value takes effect at the next start`);
    logWarnings(config, logger);
    logger.info({ file: config.file }, 'the configuration was reloaded');

    // Only one may rebuild at a time.
    const stopped = before.stopRebuilding(GRACE, this.#closing.signal);
    const closed = this.#closeReplaced(before, Promise.all([ended, stopped]));
    this.#replaced.add(closed);
    void closed.then(() => this.#replaced.delete(closed));
    await stopped.catch((error: unknown) =>
      logger.error({ err: error }, 'the rebuilds of the previous configuration could not be stopped'),
    );
    await next.loadPublished();
    if (!this.#closing.signal.aborted) void next.begin('the configuration was reloaded');
  }

  /**
   * Closes a replaced generation.
   * @param ended resolves when its pending requests and rebuilds have ended
   */
  async #closeReplaced(generation: Generation, ended: Promise<unknown>): Promise<void> {
    try {
      await ended;
      await generation.close();
    } catch (error) {
      this.#shared.logger.error({ err: error }, 'the previous configuration could not be closed');
    }
  }

  /** Reloads the certificate when its files change. */
  #watchKeyPair(): void {
    this.#watch?.[Symbol.dispose]();
    const { tls } = this.#generation.config.server;
    const { logger } = this.#shared;
    const onFault = (error: unknown): void =>
      logger.error(`the changed certificate cannot be used; the previous one stays in use: ${messageOf(error)}`);
    this.#watch =
      tls &&
      new KeyPairWatch(tls, {
        onChange: (pair) =>
          void this.#inTurn(async () => {
            this.#server.secure(pair);
            logger.info('the certificate was reloaded');
          }).catch(onFault),
        onFault,
      });
  }

  /** Runs changes one after another, also after one that failed; none after {@link close}. */
  #inTurn(change: () => Promise<void>): Promise<void> {
    const changed = this.#changing.then(async () => {
      if (!this.#closing.signal.aborted) await change();
    });
    this.#changing = changed.catch(() => undefined);
    return changed;
  }
}

function openGeneration(
  config: Config,
  { logger, figures, defaultIndexReady, replica }: SharedObjects,
): Promise<Generation> {
  return Generation.open({ config, logger, figures, onDefaultIndexReady: defaultIndexReady.resolve, replica });
}

/** Hides Fastify's own line about its address, which would repeat {@link Service.address}; keeps its warnings. */
function serverLogger(logger: Logger): Logger {
  return logger.level === 'info' ? logger.child({}, { level: 'warn' }) : logger;
}

function logWarnings(config: Config, logger: Logger): void {
  for (const warning of configWarnings(config)) logger.warn(warning);
  for (const [index, reference] of signedReferences(config))
    logger.info({ index }, `signatures must have the docker-reference ${reference}`);
}

function urlOf(host: string, port: number, tls: boolean): string {
  const reachable = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  return `${tls ? 'https' : 'http'}://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}
