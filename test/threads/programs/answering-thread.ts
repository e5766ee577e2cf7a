/** A thread that answers calls in all the ways there are, for the test of calls. */
import { setTimeout as pause } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { answerCalls, Calls, Moved } from '../../../src/threads/calls.ts';

let given = new ArrayBuffer(0);

const methods = {
  add: (_signal: AbortSignal, a: number, b: number): number => a + b,
  echo: async (_signal: AbortSignal, value: unknown): Promise<unknown> => value,
  move: (): Moved<ArrayBuffer> => {
    given = new ArrayBuffer(5);
    return new Moved(given, [given]);
  },
  copy: (): ArrayBuffer => {
    given = new ArrayBuffer(5);
    return given;
  },
  /** What it still has of the buffer that it gave last, in bytes. */
  left: (): number => given.byteLength,
  fail: async (): Promise<never> => {
    throw new TypeError('it failed', { cause: new Error('the reason') });
  },
  failUncloneably: (): never => {
    throw new Error('it failed', { cause: () => 'a function cannot be cloned' });
  },
  failByName: (): never => {
    throw Object.assign(new Error('no room'), { name: 'DiskError', code: 'full' });
  },
  answerUncloneably: (): unknown => () => undefined,
  untilAborted: (signal: AbortSignal): Promise<never> => pause(60_000, undefined, { signal }) as Promise<never>,
  tell: (_signal: AbortSignal, count: number): void => {
    for (let i = 0; i < count; i++) tell(i);
  },
  crash: (): Promise<never> => {
    setImmediate(() => {
      throw new Error('nobody is ready for this');
    });
    return new Promise(() => undefined);
  },
  exit: (): never => process.exit(7),
  /** Calls back the other way. */
  double: async (_signal: AbortSignal, value: number): Promise<number> => (await back?.call('times', [value, 2])) ?? 0,
};
export type AnsweringMethods = typeof methods;

let tell: (event: unknown) => void = () => undefined;
let back: Calls<{ times: (signal: AbortSignal, a: number, b: number) => number }> | undefined;
if (parentPort) {
  tell = answerCalls(parentPort, methods);
  back = new Calls(parentPort);
}
