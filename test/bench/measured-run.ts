/** Runs a program of Node.js to its end and measures it as a whole, its start included. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { asJavaScript } from './as-javascript.ts';
import type { Usage } from './report-usage.ts';

export interface MeasuredRun extends Usage {
  /** From the start of the process to its end. */
  readonly seconds: number;
  readonly stdout: string;
  readonly stderr: string;
}

let reportUsage: Promise<string> | undefined;

/**
 * Runs `node ARGS`.
 * @throws Error if it does not end with status 0; what it wrote is in the message.
 */
export async function measuredRun(args: readonly string[]): Promise<MeasuredRun> {
  reportUsage ??= asJavaScript('report-usage');
  const report = await reportUsage;
  const started = performance.now();
  const child = spawn(process.execPath, ['--import', report, ...args], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  const ended = once(child, 'exit').then(([status]) => ({
    status: status as number | null,
    seconds: (performance.now() - started) / 1000,
  }));
  const [stdout = '', stderr = '', usage = ''] = await Promise.all(
    child.stdio.slice(1).map((stream) => text(stream as Readable)),
  );
  const { status, seconds } = await ended;
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status ?? 'a signal'}:\n${stderr}${stdout}`);
  return { seconds, ...(JSON.parse(usage) as Usage), stdout, stderr };
}
