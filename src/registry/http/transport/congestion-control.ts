/**
 * Finds how many requests a registry is sent at once, and at which pace, from its answers alone (compare TCP Vegas, and CUBIC of RFC 9438).
 * Latency is compared with what each kind of request took when the registry was least busy: while it stays flat, more at once is more
 * throughput (Little's law); where it has doubled, the rest of them only queue. A 429 is about requests a second, whatever is under way.
 */
import { LRUCache } from 'lru-cache';

/** Requests at once to begin with, as many as TCP sends segments (RFC 6928); fewer only because of faults: below, latency says little. */
const START = 10;
/** Latency over the least: up to the first there is room for more at once, from the second on there is a queue. */
const FLAT = 1.5;
const QUEUED = 2;
/** Latency below this is as good as none, in milliseconds: near by, more at once is faster for longer than latency is flat. */
const NONE = 25;
/** One answer that stalls says no more than this. */
const STALLED = 4;
/** What is thought to be the least latency may be outdated after this, in milliseconds: it is measured anew. */
const MEASURED_ANEW = 30_000;
/** Answers that a mean latency is of. */
const SAMPLES = 32;
const MAX_KINDS = 100;

/** Of the pace that was found too fast. */
const PACE_KEPT = 0.95;
/** A pace has doubled after this, unless there is another 429 before; longer where that finds the same pace again. In milliseconds. */
const PACE_DOUBLES = 12_000;
const SLOWEST_DOUBLING = 120_000;
/** Paces that differ by less are the same. */
const CONFIRMED = 0.25;
/** Requests a second; what allows less is obeyed by pauses. */
const SLOWEST_PACE = 1;
const SECOND = 1000;
/** Parts of it that are counted apart. */
const SLOTS = 40;
/** A pace is found over at least this, in milliseconds. */
const SETTLED = 2 * SECOND;
/** How late a timer may be, in milliseconds. */
const TIMER_DELAY = 20;

/** What became of a request; times are in milliseconds on one clock. */
export interface Answered {
  /** Requests of one kind take about the same time. */
  readonly kind: string;
  readonly sentAt: number;
  /** From sending the request to the head of its answer. */
  readonly latency: number;
  /** As many as allowed were under way when it was sent. */
  readonly full: boolean;
}

interface Latency {
  count: number;
  mean: number;
  /** The least mean. */
  least: number;
}

export interface CongestionControlOptions {
  /** The most requests at once. */
  readonly bound: number;
  /** Always as many at once as the bound allows: to compare with. */
  readonly fixed?: boolean | undefined;
}

export class CongestionControl {
  readonly #bound: number;
  readonly #fixed: boolean;
  readonly #latencies = new LRUCache<string, Latency>({ max: MAX_KINDS });
  #window: number;
  /** Below it the window grows with each answer, above it with each window of answers. */
  #threshold = Infinity;
  #measuredSince: number | undefined;
  /** What was sent before it tells of another window. */
  #changedAt = -Infinity;
  #ratios = 0;
  #answers = 0;
  readonly #pace = new Pace();

  constructor({ bound, fixed = false }: CongestionControlOptions) {
    this.#bound = bound;
    this.#fixed = fixed;
    this.#window = fixed ? bound : Math.min(START, bound);
  }

  /** Requests at once. */
  get window(): number {
    return Math.floor(this.#window);
  }

  /** How long the next request has to wait for its turn, in milliseconds. */
  wait(now: number): number {
    return this.#pace.wait(now);
  }

  sent(now: number): void {
    this.#pace.sent(now);
  }

  answered({ kind, sentAt, latency, full }: Answered, now: number): void {
    this.#pace.accepted(sentAt, now);
    if (this.#fixed) return;
    this.#measuredSince ??= sentAt;
    if (now - this.#measuredSince > MEASURED_ANEW) this.#measureAnew(now);
    if (sentAt < this.#changedAt) return;
    const ratio = this.#ratio(kind, latency);
    if (!full) return;
    this.#answers++;
    this.#ratios += Math.min(STALLED, ratio);
    if (this.#window < this.#threshold && ratio < QUEUED) this.#window = Math.min(this.#bound, this.#window + 1);
    if (this.#answers >= Math.max(START, this.#window / 2)) this.#judge(this.#ratios / this.#answers, now);
  }

  /** The registry was overloaded: it answered 503 or 504, or not in time. */
  failed(sentAt: number, now: number): void {
    if (!this.#fixed && sentAt >= this.#changedAt) this.#shrink(1, 0.5, now);
  }

  /** The registry answered 429. Returns how many times in a row it has refused, with nothing accepted between. */
  limited(sentAt: number, now: number): number {
    this.failed(sentAt, now);
    return this.#pace.refused(sentAt, now);
  }

  /** A pause is over: the time of it is not made up for. */
  resumed(now: number): void {
    this.#pace.resumed(now);
  }

  /** Says whether requests take longer than they have to, by a mean of as many as are under way, and changes how many these are. */
  #judge(ratio: number, now: number): void {
    if (ratio > QUEUED) this.#shrink(Math.min(START, this.#window), Math.max(0.5, FLAT / ratio), now);
    else if (ratio < FLAT && this.#window >= this.#threshold) this.#change(Math.min(this.#bound, this.#window + Math.max(1, this.#window / 4)), now);
    else this.#answers = this.#ratios = 0;
  }

  #shrink(least: number, factor: number, now: number): void {
    this.#threshold = Math.max(least, this.#window * factor);
    this.#change(this.#threshold, now);
  }

  #change(window: number, now: number): void {
    this.#window = window;
    this.#changedAt = now;
    this.#answers = this.#ratios = 0;
  }

  #ratio(kind: string, latency: number): number {
    const known = this.#latencies.get(kind);
    if (known === undefined) {
      this.#latencies.set(kind, { count: 1, mean: latency, least: latency });
      return 1;
    }
    known.count = Math.min(SAMPLES, known.count + 1);
    known.mean += (latency - known.mean) / known.count;
    known.least = known.count < SAMPLES ? known.mean : Math.min(known.least, known.mean);
    return latency / Math.max(NONE, known.least);
  }

  #measureAnew(now: number): void {
    this.#latencies.clear();
    this.#measuredSince = now;
    this.#threshold = Math.max(START, this.#threshold * 2);
    this.#change(Math.min(START, this.#bound, this.#window), now);
  }
}

/** Requests a second, once a registry has said that it allows only so many. */
class Pace {
  /** Requests a second, just after the last refusal; `undefined` for as fast as can be. */
  #base: number | undefined;
  /** Nothing but what was accepted before the first refusal tells of it yet. */
  #isFirst = false;
  #doubles = PACE_DOUBLES;
  #refusedAt = -Infinity;
  #refusedInRow = 0;
  /** When {@link #base} was last found. */
  #foundAt = -Infinity;
  #acceptedSinceFound = 0;
  #next = 0;
  readonly #lately = new LastSecond();

  wait(now: number): number {
    return this.#base === undefined ? 0 : Math.max(0, this.#next - now);
  }

  sent(now: number): void {
    if (now - this.#refusedAt > 10 * this.#doubles) this.#base = undefined;
    if (this.#base === undefined) return;
    // More is not made up for: a burst would be more than the registry allows.
    this.#next = Math.max(this.#next, now - TIMER_DELAY) + SECOND / this.#rate(this.#base, now);
  }

  accepted(sentAt: number, now: number): void {
    this.#lately.add(now);
    if (sentAt >= this.#refusedAt) this.#refusedInRow = 0;
    if (sentAt >= this.#foundAt) this.#acceptedSinceFound++;
    // Some that were sent together with the first that was refused.
    else if (this.#isFirst && this.#base !== undefined) this.#base = Math.max(this.#base, PACE_KEPT * this.#lately.count(now));
  }

  refused(sentAt: number, now: number): number {
    // Those that were sent together are refused together.
    if (sentAt < this.#refusedAt) return Math.max(1, this.#refusedInRow);
    if (this.#base === undefined || now - this.#foundAt > SETTLED) this.#find(now);
    this.#refusedInRow++;
    this.#refusedAt = now;
    return this.#refusedInRow;
  }

  resumed(now: number): void {
    this.#next = Math.max(this.#next, now);
  }

  #find(now: number): void {
    const before = this.#base;
    this.#isFirst = before === undefined;
    const doubled = this.#doubles;
    const rate = this.#rate(before ?? 0, now);
    this.#doubles = PACE_DOUBLES;
    if (before === undefined) {
      this.#base = PACE_KEPT * Math.max(START, this.#lately.count(now));
    } else {
      const mean = (this.#acceptedSinceFound * SECOND) / (now - this.#foundAt);
      // Just after a pause the last second says nothing.
      const most = now - this.#refusedAt > SETTLED ? Math.max(mean, this.#lately.count(now)) : mean;
      this.#base = Math.max(SLOWEST_PACE, PACE_KEPT * Math.min(most, rate));
      if (Math.abs(this.#base / before - 1) < CONFIRMED) this.#doubles = Math.min(4 * doubled, SLOWEST_DOUBLING);
    }
    this.#foundAt = now;
    this.#acceptedSinceFound = 0;
  }

  #rate(base: number, now: number): number {
    return base * (1 + ((now - this.#refusedAt) / this.#doubles) ** 3);
  }
}

/** Counts what was in the last second. */
class LastSecond {
  /** One more, for the slot that is under way. */
  readonly #counts = new Uint32Array(SLOTS + 1);
  /** Slots since the clock began. */
  #slot = 0;

  add(now: number): void {
    this.#move(now);
    const slot = this.#slot % this.#counts.length;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + 1;
  }

  count(now: number): number {
    this.#move(now);
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  #move(now: number): void {
    const slot = Math.floor((now * SLOTS) / SECOND);
    for (let empty = Math.max(this.#slot, slot - this.#counts.length) + 1; empty <= slot; empty++) this.#counts[empty % this.#counts.length] = 0;
    this.#slot = slot;
  }
}
