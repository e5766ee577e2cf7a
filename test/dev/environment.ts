/** Where a development environment runs, so that the other commands find it. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../e2e/eventually.ts';
import { answersHttp } from '../peers/answering.ts';

/** The addresses of an environment. */
export interface Environment {
  /** The server's, without a last `/`. */
  readonly url: string;
  /** The registry's: `HOST:PORT`. */
  readonly registry: string;
  readonly broker: { readonly host: string; readonly port: number };
}

/** What `npm run dev` writes down while it runs. */
interface Running extends Environment {
  readonly pid: number;
}

/** The environment of `compose.yaml`. */
export const COMPOSED: Environment = { url: 'http://localhost:7080', registry: 'localhost:7500', broker: { host: 'localhost', port: 7613 } };

/** In milliseconds. */
const RESTART_LIMIT = 20_000;

/** One for each user: environments side by side need a `TMPDIR` each. */
const FILE = join(tmpdir(), `regindexer-dev-${userInfo().uid}.json`);

/** @throws Error if an environment of this user runs. */
export function refuseAnother(): void {
  const other = announced();
  if (other) throw new Error(`process ${other.pid} has an environment at ${other.url} already, says ${FILE}: stop that one first`);
}

/** Lets the other commands find `environment` until what is returned is disposed of. */
export function announce(environment: Environment): Disposable {
  rmSync(FILE, { force: true });
  writeFileSync(FILE, JSON.stringify({ ...environment, pid: process.pid } satisfies Running), { flag: 'wx', mode: 0o600 });
  return { [Symbol.dispose]: () => rmSync(FILE, { force: true }) };
}

/**
 * The environment that runs: that of `npm run dev`, or else that of `compose.yaml`.
 * @throws Error if neither does
 */
export async function runningEnvironment(): Promise<Environment> {
  const running = announced();
  const environment = running ?? COMPOSED;
  try {
    // Its server may just be starting anew.
    await eventually(() => answersHttp(`${environment.url}/healthz`), running ? RESTART_LIMIT : 0);
  } catch (error) {
    throw new Error(`no development environment answers at ${environment.url}: start one with "npm run dev" or "npm run dev:up"`, { cause: error });
  }
  return environment;
}

function announced(): Running | undefined {
  try {
    const running = JSON.parse(readFileSync(FILE, 'utf8')) as Running;
    process.kill(running.pid, 0);
    return running;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Nothing was written down, or it was by a process that is gone.
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
