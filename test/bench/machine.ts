/** What the figures were taken on: without it they say nothing. */
import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  /** GiB. */
  readonly memory: number;
  readonly system: string;
  readonly node: string;
  /** ISO 8601. */
  readonly date: string;
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
    date: new Date().toISOString(),
  };
}

export function machineLine({ cpu, cores, memory, system, node, date }: Machine): string {
  return `Taken on ${cpu}, ${cores} cores, ${memory} GiB, ${system}, Node.js ${node}, ${date.slice(0, 10)}.`;
}
