/** Public view of the state: without addresses of registries, brokers, replicas and administrators. */
import { LAYOUT_PREFIX } from '../../../registry/registry-id.ts';
import type { BusStatus } from '../../../triggers/bus/bus.ts';
import type { Rebuild } from '../../../triggers/rebuild.ts';
import type { DeltaStatus, SharedState, Site } from '../../site.ts';

/** Stands in the place of errors, which may name hosts. */
const HIDDEN = 'It failed. The reason is for administrators: ask with the admin token, or see the log.';

/** A request in the text of an error. */
const REQUEST = /\b(?:GET|HEAD|POST) https?:/;

/** Turns internal names into those that clients see, or leaves them out. */
export class PublicView {
  readonly #names: ReadonlyMap<string, string>;
  /** Hosts and folders that no text may name. */
  readonly #hidden: readonly string[];

  constructor({ indexes, status }: Pick<Site, 'indexes' | 'status'>) {
    const names = new Map<string, string>();
    const ids = new Set<string>();
    for (const [index, { shown }] of indexes) {
      const id = status.registryOf(index);
      if (id === undefined) continue;
      ids.add(id);
      if (shown !== undefined && !names.has(id)) names.set(id, shown.publication.registry);
    }
    this.#names = names;
    this.#hidden = [...ids].map(placeOf).filter((place) => ![...names.values()].some((name) => name.includes(place)));
  }

  /** Returns how clients know a registry: the `Registry` of an index; `undefined` before there is one. */
  registry(id: string | undefined): string | undefined {
    return id === undefined ? undefined : this.#names.get(id);
  }

  /** Returns the warnings that name no internal host, such as that of a token server or of a registry's storage. */
  warnings(warnings: readonly string[]): readonly string[] {
    return warnings.filter(
      (warning) => !REQUEST.test(warning) && !this.#hidden.some((place) => warning.includes(place)),
    );
  }

  rebuild(rebuild: Rebuild): Rebuild {
    const { registry, error, reasons, result, rebuilds, ...rest } = rebuild;
    const name = this.registry(registry);
    return {
      ...rest,
      // `POST /reindex from ADDRESS`
      reasons: [...new Set(reasons.map((reason) => reason.replace(/ from \S+$/, '')))],
      ...(name !== undefined && { registry: name }),
      ...(error !== undefined && { error: HIDDEN }),
      ...(rebuilds !== undefined && { rebuilds: rebuilds.map((each) => this.rebuild(each)) }),
      ...(result !== undefined && {
        result: {
          ...result,
          failures: result.failures.map((failure) => ({ ...failure, error: HIDDEN })),
          indexes: result.indexes.map((index) => ({
            ...index,
            warnings: this.warnings(index.warnings),
            ...(index.error !== undefined && { error: HIDDEN }),
          })),
        },
      }),
    };
  }

  bus(bus: BusStatus): BusStatus {
    return { ...bus, url: undefined, lastError: bus.lastError && { ...bus.lastError, message: HIDDEN } };
  }

  deltas(deltas: DeltaStatus): DeltaStatus {
    return { ...deltas, ...(deltas.lastError && { lastError: { ...deltas.lastError, message: HIDDEN } }) };
  }

  sharing({ replicas, ...rest }: SharedState): SharedState {
    return { ...rest, replicas: replicas.map((replica, place) => ({ ...replica, name: `replica ${place + 1}` })) };
  }
}

/** Returns the host of a registry, or its folder. */
function placeOf(id: string): string {
  return id.startsWith(LAYOUT_PREFIX) ? id.slice(LAYOUT_PREFIX.length) : new URL(id).host;
}
