/** Logs rebuilds: one line for each that has ended, and the warnings that are new. */
import type { Logger } from 'pino';
import type { RebuildResult } from '../indexing/rebuild.ts';
import { joinNames } from '../system/join-names.ts';
import { messageOf } from '../system/message-of.ts';
import { describeRebuild } from './describe-rebuild.ts';
import { describeScope } from './rebuild-scope.ts';
import { failureOf, summarize, withDetails, type RegistryRebuild } from './rebuild.ts';

/** How a rebuild ended, besides its state. */
interface Outcome {
  /** `undefined` if it threw. */
  readonly result: RebuildResult | undefined;
  /** The error that it threw. */
  readonly cause: unknown;
  /** When it is retried. */
  readonly dueAt: number | undefined;
  /** Whether the service is stopping. */
  readonly stopping: boolean;
}

/** The log of a queue's rebuilds. */
export class RebuildLog {
  readonly #logger: Logger;
  readonly #registries: ReadonlyMap<string, readonly string[]>;
  /** The warnings of each index that were logged last. */
  readonly #warned = new Map<string, readonly string[]>();
  /** Registries whose last rebuild succeeded. */
  readonly #succeeded = new Set<string>();

  /** @param registries the names of the indexes of each registry, by the registry's id */
  constructor(logger: Logger, registries: ReadonlyMap<string, readonly string[]>) {
    this.#logger = logger;
    this.#registries = registries;
  }

  /** Logs the start of a rebuild, for debugging. */
  started({ id, registry, reasons, scope }: RegistryRebuild): void {
    this.#logger.debug(
      { rebuild: id, registry, reasons, scope: describeScope(scope) },
      `rebuilding ${this.#indexNames(registry)}`,
    );
  }

  /** Logs the end of a rebuild. */
  ended(rebuild: RegistryRebuild, { result, cause, dueAt, stopping }: Outcome): void {
    const { id, registry, reasons, scope } = rebuild;
    const detailed = result && withDetails(result);
    const error = (detailed && failureOf(detailed)) ?? (cause === undefined ? rebuild.error : messageOf(cause));
    const finishedAt = rebuild.finishedAt ?? Date.now();
    const seconds = (finishedAt - (rebuild.startedAt ?? finishedAt)) / 1000;
    if (result !== undefined) this.#warn(result);
    const figures = {
      rebuild: id,
      registry,
      reasons,
      scope: describeScope(scope),
      seconds,
      ...(detailed && summarize(detailed)),
    };
    if (error === undefined && result !== undefined) {
      // A scheduled rebuild that finds nothing new is not worth a line each time.
      const level = this.#succeeded.has(registry) && result.indexes.every(({ changed }) => !changed) ? 'debug' : 'info';
      this.#succeeded.add(registry);
      this.#logger[level](figures, describeRebuild(result, seconds, rebuild));
    } else if (stopping) this.#logger.info(figures, `stopped rebuilding ${this.#indexNames(registry)}`);
    else {
      this.#succeeded.delete(registry);
      const again = dueAt === undefined ? '' : `, trying again in ${Math.ceil((dueAt - finishedAt) / 1000)} s`;
      this.#logger.warn(
        { ...figures, ...(cause !== undefined && { err: cause }) },
        `rebuilding ${this.#indexNames(registry)} failed${again}: ${error}`,
      );
    }
  }

  /** Logs the warnings that the last rebuild of an index did not have. */
  #warn({ indexes }: RebuildResult): void {
    for (const { index, warnings } of indexes) {
      const before = this.#warned.get(index) ?? [];
      for (const warning of warnings) if (!before.includes(warning)) this.#logger.warn({ index }, warning);
      this.#warned.set(index, warnings);
    }
  }

  #indexNames(registry: string): string {
    return joinNames(this.#registries.get(registry) ?? []);
  }
}
