/** Thread for the tests of calls: a method for each kind of answer. */
import { setTimeout as pause } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { answerCalls } from '../../../src/app/calls.ts';

const methods = {
  add: (_signal: AbortSignal, a: number, b: number): number => a + b,
  echo: async (_signal: AbortSignal, value: unknown): Promise<unknown> => value,
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
};
export type AnsweringMethods = typeof methods;

let tell: (event: unknown) => void = () => undefined;
if (parentPort) tell = answerCalls(parentPort, methods);
