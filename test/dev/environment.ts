/** Addresses of the running development environment, in a file for the other commands. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../e2e/eventually.ts';
import { answersHttp } from '../peers/answering.ts';

/** The addresses of an environment. */
export interface Environment {
  /** URL of the service, without a last `/`. */
  readonly url: string;
  /** `HOST:PORT` of the registry. */
  readonly registry: string;
  readonly broker: { readonly host: string; readonly port: number };
}

/** Content of the file while `npm run dev` runs. */
interface Running extends Environment {
  readonly pid: number;
}

/** The environment of `compose.yaml`. */
export const COMPOSED: Environment = {
  url: 'http://localhost:7080',
  registry: 'localhost:7500',
  broker: { host: 'localhost', port: 7613 },
};

/** In milliseconds. */
const RESTART_LIMIT = 20_000;

/** One file for each user: a second environment needs another `TMPDIR`. */
const FILE = join(tmpdir(), `regindexer-dev-${userInfo().uid}.json`);

/** @throws Error if this user already runs an environment. */
export function refuseAnother(): void {
  const other = announced();
  if (other)
    throw new Error(
      `process ${other.pid} has an environment at ${other.url} already (see ${FILE}): stop that one first`,
    );
}

/** Writes the addresses of `environment` to the file; disposing the result removes it. */
export function announce(environment: Environment): Disposable {
  rmSync(FILE, { force: true });
  writeFileSync(FILE, JSON.stringify({ ...environment, pid: process.pid } satisfies Running), {
    flag: 'wx',
    mode: 0o600,
  });
  return { [Symbol.dispose]: () => rmSync(FILE, { force: true }) };
}

/**
 * Finds the running environment: that of `npm run dev`, or else that of `compose.yaml`.
 * @throws Error if neither runs.
 */
export async function runningEnvironment(): Promise<Environment> {
  const running = announced();
  const environment = running ?? COMPOSED;
  try {
    // Its service may be restarting.
    await eventually(() => answersHttp(`${environment.url}/healthz`), running ? RESTART_LIMIT : 0);
  } catch (error) {
    throw new Error(
      `no development environment answers at ${environment.url}: start one with "npm run dev" or "npm run dev:up"`,
      { cause: error },
    );
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
    // There is no file, or its process has ended.
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
