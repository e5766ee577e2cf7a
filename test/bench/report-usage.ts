/**
 * Loaded with `--import` into a measured process: at its end, tells as JSON on file descriptor 3 what it used.
 * Its peak memory is not `maxRSS`, which starts with that of the process that started it.
 */
import { readFileSync, writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

export interface Usage {
  /** Of all cores, in seconds. */
  readonly cpu: number;
  /** The most memory that was held (resident), in bytes. */
  readonly peakMemory: number;
}

if (isMainThread) {
  process.once('exit', () => {
    const { user, system } = process.cpuUsage();
    const [, kilobytes] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    const usage: Usage = { cpu: (user + system) / 1e6, peakMemory: Number(kilobytes) * 1024 };
    writeSync(3, JSON.stringify(usage));
  });
}
