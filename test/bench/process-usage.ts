/** What a running process uses, all its threads together, as Linux tells in `/proc`. */
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

/** The kernel counts time in ticks, a hundred a second on every platform that Node.js runs on. */
const TICKS_PER_SECOND = 100;

/**
 * A process that works for less than `IDLE_CPU` seconds in so many milliseconds has done all that a push asks of it, its
 * second look included.
 */
const IDLE = 800;
const IDLE_CPU = 0.02;

/** The time that it was running so far, in seconds. */
export async function cpuSeconds(pid: number): Promise<number> {
  const { own } = await cpuTimes(pid);
  return own;
}

/** The time that it and its children were running so far, those that have ended included, in seconds. */
export async function cpuSecondsWithChildren(pid: number): Promise<number> {
  const { own, ended } = await cpuTimes(pid);
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1')).split(' ').filter(Boolean);
  // One that ends meanwhile is missing once.
  const running = await Promise.all(children.map((child) => cpuSeconds(Number(child)).catch(() => 0)));
  return running.reduce((sum, seconds) => sum + seconds, own + ended);
}

/** Seconds of a process, and of its children that have ended. */
async function cpuTimes(pid: number): Promise<{ readonly own: number; readonly ended: number }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  // The name, in parentheses, may hold spaces; utime is the 14th field, then stime, cutime, cstime (proc_pid_stat(5)).
  const [utime = 0, stime = 0, cutime = 0, cstime = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15)
    .map(Number);
  return { own: (utime + stime) / TICKS_PER_SECOND, ended: (cutime + cstime) / TICKS_PER_SECOND };
}

/** Resolves when the process has nothing to do. */
export async function idle(pid: number): Promise<void> {
  for (let before = await cpuSeconds(pid); ;) {
    await pause(IDLE);
    const now = await cpuSeconds(pid);
    if (now - before < IDLE_CPU) return;
    before = now;
  }
}

/** Its memory (resident) in bytes: what it holds now, and the most that it ever held. */
export async function memoryOf(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
  return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
}
