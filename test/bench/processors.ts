/** Which processors a program may use. */
import { cpus } from 'node:os';
import { runCommand } from '../peers/run-command.ts';

/**
 * Keeps `other` to one half of the processors, and this process with all that it starts from now on to the other half:
 * what runs on a machine of its own elsewhere takes nothing from what is measured.
 * @returns whether there are processors for both, and it is done
 */
export async function keepApart(other: number): Promise<boolean> {
  const count = cpus().length;
  if (count < 2) return false;
  const half = Math.floor(count / 2);
  await keepAway(other);
  await confine(process.pid, `${half}-${count - 1}`);
  return true;
}

/** Keeps one more process to the half that {@link keepApart} leaves to others. */
export async function keepAway(other: number): Promise<void> {
  const half = Math.floor(cpus().length / 2);
  if (half > 0) await confine(other, `0-${half - 1}`);
}

/** @param processors as taskset(1) takes them; all threads that there are */
async function confine(pid: number, processors: string): Promise<void> {
  await runCommand('taskset', ['--all-tasks', '--cpu-list', '--pid', processors, String(pid)], {
    env: { PATH: process.env['PATH'] ?? '' },
  });
}
