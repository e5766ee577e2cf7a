/** Starts a bus for a test. */
import { EventEmitter, once } from 'node:events';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { Bus, type BusOptions } from '../../../src/triggers/bus/bus.ts';

/** A bus that is connecting, with its triggers and log lines. */
export function startBus(t: TestContext, options: Partial<BusOptions> & Pick<BusOptions, 'urls'>) {
  const happened = new EventEmitter<{ trigger: []; line: [] }>();
  const triggers: string[] = [];
  const lines: {
    readonly level: number;
    readonly msg: string;
    readonly omitted?: number;
    readonly queue?: string;
  }[] = [];
  const logger = pino(
    {},
    {
      write: (line) => {
        lines.push(JSON.parse(line) as (typeof lines)[number]);
        happened.emit('line');
      },
    },
  );
  const settings = new Map<string, string>();
  const keepSetting = async (key: string, value: string): Promise<string> => {
    const kept = settings.get(key) ?? value;
    settings.set(key, kept);
    return kept;
  };
  const bus = new Bus({
    destinations: [{ destination: '/topic/x' }],
    exchange: 'amq.topic',
    keepSetting,
    contentTypes: ['container', 'flatpak'],
    firstConnectionTriggers: false,
    pauses: { first: 20, longest: 500 },
    onTrigger: (reason) => {
      triggers.push(reason);
      happened.emit('trigger');
    },
    logger,
    ...options,
  });
  bus.start();
  t.after(() => bus.close());
  /** Waits for this number of triggers. */
  const triggered = async (count: number): Promise<void> => {
    while (triggers.length < count) await once(happened, 'trigger');
  };
  const logged = async (pattern: RegExp) => {
    for (;;) {
      const line = lines.find(({ msg }) => pattern.test(msg));
      if (line !== undefined) return line;
      await once(happened, 'line');
    }
  };
  return { bus, triggers, lines, triggered, logged };
}
