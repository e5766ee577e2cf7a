/** Deltas that could not be made for now, and when they are tried again. */
import { type DeltaPair, pairKey, type PassedOver } from '../store/deltas.ts';

/** Time until a delta is tried again, in milliseconds: doubled each time, up to an hour. */
export const FIRST_PAUSE = 10_000;
export const LAST_PAUSE = 3_600_000;
/** After so many pairs that failed in a row, their registry is paused too: up to ten minutes, since it may be away. */
const FAILURES = 3;
const LAST_REGISTRY_PAUSE = 600_000;
/** Beyond so many, those that failed longest ago are forgotten, and tried as new ones are. */
const MAX_PAIRS = 1000;

/** A pair that failed. Times are in milliseconds, `until` since the epoch. */
interface PostponedPair {
  readonly pair: DeltaPair;
  readonly pause: number;
  readonly until: number;
}

/** A registry whose last pair failed. */
interface FailingRegistry {
  /** How many pairs failed in a row; one that fails again and again counts once. */
  readonly failures: number;
  /** Key of the last one. */
  readonly last: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

/** Deltas that failed, but may succeed later. */
export class PostponedDeltas {
  /** By {@link pairKey}, in the order in which they failed. */
  readonly #pairs = new Map<string, PostponedPair>();
  readonly #registries = new Map<string, FailingRegistry>();

  /** Postpones a delta that failed; returns for how long at least, in milliseconds. */
  add({ registry, source, target }: DeltaPair): number {
    const pair: DeltaPair = { registry, source, target };
    const key = pairKey(pair);
    const now = Date.now();
    const pause = Math.min(LAST_PAUSE, (this.#pairs.get(key)?.pause ?? FIRST_PAUSE / 2) * 2);
    this.#pairs.delete(key);
    this.#pairs.set(key, { pair, pause, until: now + pause });
    const [oldest = key] = this.#pairs.keys();
    if (this.#pairs.size > MAX_PAIRS) this.#pairs.delete(oldest);
    const { failures: before, last } = this.#registries.get(registry) ?? { failures: 0, last: undefined };
    const failures = last === key ? before : before + 1;
    const rest = failures < FAILURES ? 0 : Math.min(LAST_REGISTRY_PAUSE, FIRST_PAUSE * 2 ** (failures - FAILURES));
    this.#registries.set(registry, { failures, last: key, until: now + rest });
    return Math.max(pause, rest);
  }

  /** Forgets what failed of a delta that has ended, and that its registry failed. */
  delete(pair: DeltaPair): void {
    this.#pairs.delete(pairKey(pair));
    this.#registries.delete(pair.registry);
  }

  /** Returns what is not tried at this time: all that failed, or only those whose time has not come. */
  passedOver(which: 'failed' | 'waiting', now: number): PassedOver {
    const registries = [...this.#registries].flatMap(([id, { until }]) => (until > now ? [id] : []));
    const pairs = [...this.#pairs.values()].filter(({ until }) => which === 'failed' || until > now);
    return { registries, pairs: pairs.map(({ pair }) => pair) };
  }

  /** Says whether a pair that failed may be tried at this time. */
  isAnyDue(now: number): boolean {
    return this.#due(now).length > 0;
  }

  /** Forgets those that may be tried at this time, because none of them is wanted any more. */
  deleteDue(now: number): void {
    for (const pair of this.#due(now)) this.#pairs.delete(pairKey(pair));
  }

  /** Returns the next time after `time` at which more may be tried, in milliseconds since the epoch; or infinity. */
  next(time: number): number {
    const times = [...this.#pairs.values(), ...this.#registries.values()].map(({ until }) => until);
    return Math.min(...times.filter((until) => until > time));
  }

  #due(now: number): readonly DeltaPair[] {
    return [...this.#pairs.values()].flatMap(({ pair, until }) =>
      until <= now && (this.#registries.get(pair.registry)?.until ?? 0) <= now ? [pair] : [],
    );
  }
}
