import assert from 'node:assert/strict';
import test, { suite } from 'node:test';
import { CongestionControl } from '../../../../src/registry/http/transport/congestion-control.ts';
import { randomNumbers } from '../../../sources/random-images.ts';

/** In milliseconds. */
interface PlayedRegistry {
  readonly roundTrip: number;
  /** The random latency of a request. */
  readonly service: (random: () => number) => number;
  /** The number of requests that it handles at once; others queue. */
  readonly workers: number;
  /** Says whether it accepts a request at this time. */
  readonly accepts?: (at: number) => boolean;
  /** Retry-After of a 429. */
  readonly retryAfter?: number;
  /** The number of requests above its workers from which it answers 503. */
  readonly queues?: boolean;
}

interface Played {
  /** The time until the last answer, in milliseconds. */
  readonly time: number;
  readonly refused: number;
  readonly failed: number;
  /** The most refusals of one request. */
  readonly mostRefused: number;
  /** The window after each quarter of all requests. */
  readonly windows: readonly number[];
}

const ALL = Infinity;
const BOUND = 128;
const PAUSES = [300, 900, 2700];

/** Simulates requests to a registry with a virtual clock. */
function play(
  control: CongestionControl,
  { roundTrip, service, workers, accepts = () => true, retryAfter = 0, queues = true }: PlayedRegistry,
  requests: number,
): Played {
  const random = randomNumbers(1);
  const events: { readonly at: number; readonly run: () => void }[] = [];
  const busyUntil: number[] = [];
  const waiting = Array.from({ length: requests }, () => ({ refusals: 0 }));
  const windows: number[] = [];
  let now = 0;
  let opensAt = 0;
  let paused = false;
  let timer: number | undefined;
  let underWay = 0;
  let answered = 0;
  let refused = 0;
  let failed = 0;
  let mostRefused = 0;
  const at = (time: number, run: () => void): void => {
    const later = events.findLastIndex((event) => event.at > time);
    events.splice(later + 1, 0, { at: time, run });
  };
  const arrive = (): number | 'refused' | 'overloaded' => {
    if (!accepts(now)) return 'refused';
    if (workers === ALL) return now + service(random);
    const free = busyUntil.findIndex((until) => until <= now);
    const worker =
      free >= 0 ? free : busyUntil.length < workers ? busyUntil.length : busyUntil.indexOf(Math.min(...busyUntil));
    if (!queues && (busyUntil[worker] ?? 0) > now) return 'overloaded';
    busyUntil[worker] = Math.max(now, busyUntil[worker] ?? 0) + service(random);
    return busyUntil[worker];
  };
  const send = (request: { refusals: number }): void => {
    const sentAt = now;
    control.sent(now);
    underWay++;
    const full = underWay >= control.window || (waiting.length > 0 && control.wait(now) === 0);
    at(now + roundTrip / 2, () => {
      const outcome = arrive();
      at((typeof outcome === 'number' ? outcome : now) + roundTrip / 2, () => {
        underWay--;
        if (typeof outcome === 'number') {
          control.answered({ kind: 'GET', sentAt, latency: now - sentAt, full }, now);
          if (++answered % Math.ceil(requests / 4) === 0) windows.push(control.window);
        } else {
          waiting.unshift(request);
          if (outcome === 'refused') {
            refused++;
            mostRefused = Math.max(mostRefused, ++request.refusals);
            const pause = PAUSES[control.limited(sentAt, now) - 1] ?? 27_000;
            paused = true;
            opensAt = Math.max(opensAt, now + Math.max(retryAfter, pause * (1 - random() / 2)));
          } else {
            failed++;
            control.failed(sentAt, now);
          }
        }
        sendAll();
      });
    });
  };
  const sendAll = (): void => {
    while (waiting.length > 0 && underWay < control.window) {
      const wait = Math.max(control.wait(now), opensAt - now);
      if (wait > 0) {
        // Like timers: whole milliseconds, and one timer for all.
        if (timer !== undefined && timer > now) return;
        timer = now + Math.ceil(wait);
        at(timer, sendAll);
        return;
      }
      if (paused) {
        paused = false;
        control.resumed(now);
        continue;
      }
      send(waiting.shift() ?? { refusals: 0 });
    }
  };
  sendAll();
  for (let event = events.pop(); event !== undefined; event = events.pop()) {
    now = event.at;
    event.run();
  }
  assert.equal(answered, requests);
  return { time: now, refused, failed, mostRefused, windows };
}

function exponential(mean: number): (random: () => number) => number {
  return (random) => -mean * Math.log(1 - random());
}

/** A fixed window: so many requests in each second of the clock. */
function perSecond(rate: number): (at: number) => boolean {
  let second = -1;
  let count = 0;
  return (at) => {
    // The seconds of both clocks begin at different times.
    const current = Math.floor((at + 370) / 1000);
    if (current !== second) [second, count] = [current, 0];
    return count++ < rate;
  };
}

/** A sliding window: so many requests in any second. */
function sliding(rate: number): (at: number) => boolean {
  const taken: number[] = [];
  return (at) => {
    while (taken[0] !== undefined && taken[0] <= at - 1000) taken.shift();
    return taken.length < rate && taken.push(at) > 0;
  };
}

/** A token bucket: so many tokens a second, of which some can be saved. */
function bucket(rate: number, size: number): (at: number) => boolean {
  let tokens = size;
  let last = 0;
  return (at) => {
    tokens = Math.min(size, tokens + ((at - last) * rate) / 1000);
    last = at;
    if (tokens < 1) return false;
    tokens--;
    return true;
  };
}

suite('as fast as the best fixed number', () => {
  const registries: Record<string, PlayedRegistry> = {
    'two workers, near by': { roundTrip: 0.3, workers: 2, service: () => 1 },
    'two workers that take now more and now less': { roundTrip: 0.3, workers: 2, service: exponential(1) },
    'two workers, 20 ms away': { roundTrip: 20, workers: 2, service: exponential(0.5) },
    'two workers, 80 ms away': { roundTrip: 80, workers: 2, service: exponential(0.5) },
    'any number of workers, 80 ms away': { roundTrip: 80, workers: ALL, service: () => 1 },
    'any number of workers that take now more and now less': { roundTrip: 5, workers: ALL, service: exponential(30) },
    'twenty slow workers': { roundTrip: 20, workers: 20, service: exponential(50) },
  };
  for (const [name, registry] of Object.entries(registries)) {
    test(name, () => {
      const best = Math.min(
        ...[8, 16, 32, 64, 128].map(
          (bound) => play(new CongestionControl({ bound, fixed: true }), registry, 2500).time,
        ),
      );
      const { time } = play(new CongestionControl({ bound: BOUND }), registry, 2500);
      assert.ok(time <= 1.25 * best, `${time} ms, ${best} ms with the best fixed number`);
    });
  }
});

test('it begins low, and goes up to the bound where latency stays flat', () => {
  const control = new CongestionControl({ bound: BOUND });
  assert.equal(control.window, 10);
  assert.deepEqual(play(control, { roundTrip: 80, workers: ALL, service: () => 1 }, 2000).windows, [
    BOUND,
    BOUND,
    BOUND,
    BOUND,
  ]);
});

test('no more queue at a registry than it works on', () => {
  const { windows } = play(
    new CongestionControl({ bound: BOUND }),
    { roundTrip: 1, workers: 10, service: () => 40 },
    4000,
  );
  for (const window of windows) assert.ok(window >= 10 && window <= 30, windows.join(', '));
});

/** Sends windows of requests to a registry that takes the same time for each. */
function askFor(control: CongestionControl, latency: number, from: number, until: number): void {
  for (let now = from; now < until; now += latency)
    for (let request = control.window; request > 0; request--)
      control.answered({ kind: 'GET', sentAt: now, latency, full: true }, now + latency);
}

test('it goes down when latency rises, and up when that is over', () => {
  const control = new CongestionControl({ bound: BOUND });
  askFor(control, 20, 0, 1000);
  assert.equal(control.window, BOUND);
  askFor(control, 80, 1000, 3000);
  assert.equal(control.window, 10);
  askFor(control, 20, 3000, 6000);
  assert.equal(control.window, BOUND);
});

test('a path that has become longer is not taken for a queue for ever', () => {
  const control = new CongestionControl({ bound: BOUND });
  askFor(control, 10, 0, 1000);
  askFor(control, 100, 1000, 5000);
  assert.equal(control.window, 10);
  askFor(control, 100, 5000, 40_000);
  assert.equal(control.window, BOUND);
});

test('kinds of requests are compared each with itself', () => {
  const control = new CongestionControl({ bound: BOUND });
  let now = 0;
  for (let round = 0; round < 200; round++, now += 100) {
    for (let request = 0; request < control.window; request++) {
      const [kind, latency] = request % 2 === 0 ? (['HEAD', 2] as const) : (['GET', 90] as const);
      control.answered({ kind, sentAt: now, latency, full: true }, now + latency);
    }
  }
  assert.equal(control.window, BOUND);
});

test('what did not fill the window does not open it', () => {
  const control = new CongestionControl({ bound: BOUND });
  for (let now = 0; now < 1000; now++) control.answered({ kind: 'GET', sentAt: now, latency: 1, full: false }, now + 1);
  assert.equal(control.window, 10);
});

test('an overloaded registry gets half as many, once for all that were sent together', () => {
  const control = new CongestionControl({ bound: BOUND });
  control.failed(0, 10);
  control.failed(5, 11);
  assert.equal(control.window, 5);
  for (let now = 20; now < 100; now += 10) control.failed(now, now + 1);
  assert.equal(control.window, 1);
});

test('a registry that answers 503 to what is too much is read all the same', () => {
  const { time, failed } = play(
    new CongestionControl({ bound: BOUND }),
    { roundTrip: 20, workers: 20, service: () => 10, queues: false },
    2000,
  );
  const fixed = play(
    new CongestionControl({ bound: 16, fixed: true }),
    { roundTrip: 20, workers: 20, service: () => 10, queues: false },
    2000,
  );
  assert.ok(time < 2 * fixed.time, `${time} ms, ${fixed.time} ms with 16`);
  assert.ok(failed < 400, `${failed} failed`);
});

suite('a limit of requests a second is found', () => {
  const RATE = 20;
  const REQUESTS = 300;
  const limits = {
    'in each second': () => perSecond(RATE),
    'in any second': () => sliding(RATE),
    'with as many saved up': () => bucket(RATE, RATE),
    'with many saved up': () => bucket(RATE, 100),
  };
  for (const [name, limit] of Object.entries(limits)) {
    for (const retryAfter of [0, 1000]) {
      for (const roundTrip of [1, 80]) {
        test(`${name}, ${roundTrip} ms away, ${retryAfter > 0 ? 'with' : 'without'} Retry-After`, () => {
          const { time, mostRefused } = play(
            new CongestionControl({ bound: BOUND }),
            { roundTrip, workers: ALL, service: () => 1, accepts: limit(), retryAfter },
            REQUESTS,
          );
          assert.ok(time <= 1.2 * (REQUESTS / RATE) * 1000, `${time} ms`);
          assert.ok(mostRefused <= 3, `one was refused ${mostRefused} times`);
        });
      }
    }
  }

  test('and kept to: few are refused', () => {
    const { time, refused } = play(
      new CongestionControl({ bound: BOUND }),
      { roundTrip: 10, workers: ALL, service: () => 1, accepts: sliding(RATE) },
      3000,
    );
    assert.ok(time <= 1.1 * (3000 / RATE) * 1000, `${time} ms`);
    assert.ok(refused < 30, `${refused} were refused`);
  });

  test('and kept to where requests must be evenly spaced', () => {
    const { time } = play(
      new CongestionControl({ bound: BOUND }),
      { roundTrip: 10, workers: ALL, service: () => 1, accepts: bucket(RATE, 1) },
      3000,
    );
    assert.ok(time <= 1.3 * (3000 / RATE) * 1000, `${time} ms`);
  });

  test('and left behind when there is none any more', () => {
    const control = new CongestionControl({ bound: BOUND });
    play(control, { roundTrip: 10, workers: ALL, service: () => 1, accepts: sliding(RATE) }, 100);
    const { time } = play(control, { roundTrip: 10, workers: ALL, service: () => 1 }, 20_000);
    assert.ok(time < 300_000, `${time} ms`);
  });
});
