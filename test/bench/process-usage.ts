/** What a running process uses, all its threads together, as Linux tells in `/proc`. */
import { readFile } from 'node:fs/promises';

/** The kernel counts time in ticks, a hundred a second on every platform that Node.js runs on. */
const TICKS_PER_SECOND = 100;

/** The time that it was running so far, in seconds. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  // The name, in parentheses, may hold spaces; utime and stime are the 14th and 15th field (proc_pid_stat(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Its memory (resident) in bytes: what it holds now, and the most that it ever held. */
export async function memoryOf(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
  return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
}
