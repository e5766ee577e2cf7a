/**
 * Congestion control: finds how many requests at once, and how many a second, a registry can take (compare TCP Vegas,
 * and CUBIC of RFC 9438). Latency is compared with the least mean latency of each kind of request: while it is flat,
 * more requests at once give more throughput (Little's law); when it has doubled, requests only queue. A 429 limits the
 * requests a second, however many are pending.
 */
import { LRUCache } from 'lru-cache';

/**
 * The first window, as that of TCP (RFC 6928). Latency alone does not shrink it further, because below it says little.
 */
const START = 10;
/** Ratios of latency to the least latency: below FLAT the window grows, above QUEUED it shrinks. */
const FLAT = 1.5;
const QUEUED = 2;
/**
 * The least latency that is assumed, in milliseconds: on a fast network throughput still grows after latency has risen.
 */
const MIN_LATENCY = 25;
/** The highest ratio that one answer counts as, so that a stalled one does not decide. */
const MAX_RATIO = 4;
/** The time after which the least latency is measured again, in milliseconds. */
const MEASURED_FOR = 30_000;
/** The number of answers in a mean latency. */
const SAMPLES = 32;
const MAX_KINDS = 100;

/** The part of the pace that is kept after a 429. */
const PACE_KEPT = 0.95;
/**
 * The time in which a pace doubles without another 429, in milliseconds; up to SLOWEST_DOUBLING while the same pace is
 * found again.
 */
const PACE_DOUBLES = 12_000;
const SLOWEST_DOUBLING = 120_000;
/** The relative difference below which two paces are the same. */
const CONFIRMED = 0.25;
/** The slowest pace, in requests a second; below it, only pauses slow down. */
const SLOWEST_PACE = 1;
const SECOND = 1000;
/** The slots of a second that are counted separately. */
const SLOTS = 40;
/** The shortest time over which a pace is measured, in milliseconds. */
const SETTLED = 2 * SECOND;
/** The delay of a timer that is tolerated, in milliseconds. */
const TIMER_DELAY = 20;

/** An answered request. Times are in milliseconds of `performance.now()`. */
export interface Answered {
  /** Requests of one kind take about the same time. */
  readonly kind: string;
  readonly sentAt: number;
  /** The time from sending the request to the head of its answer. */
  readonly latency: number;
  /** The window was full when it was sent. */
  readonly full: boolean;
}

interface Latency {
  count: number;
  mean: number;
  /** The least value of `mean`. */
  least: number;
}

/** Settings of {@link CongestionControl}. */
export interface CongestionControlOptions {
  /** The most requests at once. */
  readonly bound: number;
  /** Keeps the window at `bound`; for benchmarks. */
  readonly fixed?: boolean | undefined;
}

/** The window and pace of one registry. All times are in milliseconds of `performance.now()`. */
export class CongestionControl {
  readonly #bound: number;
  readonly #fixed: boolean;
  readonly #latencies = new LRUCache<string, Latency>({ max: MAX_KINDS });
  #window: number;
  /** The slow start threshold: below it the window grows with each answer, above it once for a window of answers. */
  #threshold = Infinity;
  #measuredSince: number | undefined;
  /** When the window last changed; answers to requests sent before are ignored. */
  #changedAt = -Infinity;
  #ratios = 0;
  #answers = 0;
  readonly #pace = new Pace();

  constructor({ bound, fixed = false }: CongestionControlOptions) {
    this.#bound = bound;
    this.#fixed = fixed;
    this.#window = fixed ? bound : Math.min(START, bound);
  }

  /** The number of requests allowed at once. */
  get window(): number {
    return Math.floor(this.#window);
  }

  /** How long the next request has to wait because of the pace, in milliseconds. */
  wait(now: number): number {
    return this.#pace.wait(now);
  }

  /** Records that a request was sent. */
  sent(now: number): void {
    this.#pace.sent(now);
  }

  /** Records an answer that is neither 429 nor a sign of overload. */
  answered({ kind, sentAt, latency, full }: Answered, now: number): void {
    this.#pace.accepted(sentAt, now);
    if (this.#fixed) return;
    this.#measuredSince ??= sentAt;
    if (now - this.#measuredSince > MEASURED_FOR) this.#measureAgain(now);
    if (sentAt < this.#changedAt) return;
    const ratio = this.#ratio(kind, latency);
    if (!full) return;
    this.#answers++;
    this.#ratios += Math.min(MAX_RATIO, ratio);
    if (this.#window < this.#threshold && ratio < QUEUED) this.#window = Math.min(this.#bound, this.#window + 1);
    if (this.#answers >= Math.max(START, this.#window / 2)) this.#judge(this.#ratios / this.#answers, now);
  }

  /** Records a sign of overload: 503, 504 or a timeout. */
  failed(sentAt: number, now: number): void {
    if (!this.#fixed && sentAt >= this.#changedAt) this.#shrink(1, 0.5, now);
  }

  /** Records a 429. Returns the number of 429s in a row. */
  limited(sentAt: number, now: number): number {
    this.failed(sentAt, now);
    return this.#pace.refused(sentAt, now);
  }

  /** Records the end of a pause, whose requests are not made up for. */
  resumed(now: number): void {
    this.#pace.resumed(now);
  }

  /** Changes the window by the mean ratio of latency over a window of answers. */
  #judge(ratio: number, now: number): void {
    if (ratio > QUEUED) this.#shrink(Math.min(START, this.#window), Math.max(0.5, FLAT / ratio), now);
    else if (ratio < FLAT && this.#window >= this.#threshold)
      this.#change(Math.min(this.#bound, this.#window + Math.max(1, this.#window / 4)), now);
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
    return latency / Math.max(MIN_LATENCY, known.least);
  }

  #measureAgain(now: number): void {
    this.#latencies.clear();
    this.#measuredSince = now;
    this.#threshold = Math.max(START, this.#threshold * 2);
    this.#change(Math.min(START, this.#bound, this.#window), now);
  }
}

/** The number of requests a second that a registry allows; unlimited until its first 429. */
class Pace {
  /** Requests a second just after the last 429; `undefined` for no limit. */
  #base: number | undefined;
  /** The pace is still known only from the requests before the first 429. */
  #isFirst = false;
  #doubles = PACE_DOUBLES;
  #refusedAt = -Infinity;
  #refusedInRow = 0;
  /** When {@link #base} was last measured. */
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
    // Missed turns are not made up for, because a burst would exceed the limit.
    this.#next = Math.max(this.#next, now - TIMER_DELAY) + SECOND / this.#rate(this.#base, now);
  }

  accepted(sentAt: number, now: number): void {
    this.#lately.add(now);
    if (sentAt >= this.#refusedAt) this.#refusedInRow = 0;
    if (sentAt >= this.#foundAt) this.#acceptedSinceFound++;
    // Answers to requests that were sent together with the first one that got 429.
    else if (this.#isFirst && this.#base !== undefined)
      this.#base = Math.max(this.#base, PACE_KEPT * this.#lately.count(now));
  }

  refused(sentAt: number, now: number): number {
    // Requests that were sent together count as one 429.
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
      // Just after a pause, the last second says nothing.
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

/** Counts events of the last second. */
class LastSecond {
  /** Counts by slot; one slot more than a second, for the current one. */
  readonly #counts = new Uint32Array(SLOTS + 1);
  /** The current slot, counted from the start of the clock. */
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
    for (let empty = Math.max(this.#slot, slot - this.#counts.length) + 1; empty <= slot; empty++)
      this.#counts[empty % this.#counts.length] = 0;
    this.#slot = slot;
  }
}
