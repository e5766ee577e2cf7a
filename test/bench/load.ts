/**
 * Load on a server from a process of its own: wrk where it is installed, since it takes less of the machine, else
 * autocannon.
 */
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { request } from 'undici';
import { isInstalled } from '../peers/installed.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { runCommand } from '../peers/run-command.ts';

const CONNECTIONS = 32;
/** Of each turn. Many and short: a machine that others use, too, is fast for some seconds and slow for the next. */
const SECONDS = 1;

export interface Load {
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** The 99th percentile of the time to the whole answer, in milliseconds. */
  readonly p99: number;
}

export interface LoadOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What is answered; looked at once, beforehand. */
  readonly status: number;
  readonly seconds: number;
  /** Requests a second, about; as many as are answered if absent. */
  readonly rate?: number | undefined;
  /** Takes what the load needs to write. */
  readonly folder: string;
}

/**
 * Has `measure` called with each server in so many turns, one after the other, so that what the machine does beside
 * weighs the same on all; every other time in the reverse order, so that none is always the first. Before that, each is
 * warmed up.
 * @returns for each server, what was measured in each turn
 */
export async function inTurns<Server, Measured>(
  servers: readonly Server[],
  turns: number,
  measure: (server: Server, seconds: number) => Promise<Measured>,
): Promise<Map<Server, Measured[]>> {
  for (const server of servers) await measure(server, SECONDS);
  const measured = new Map(servers.map((server) => [server, [] as Measured[]]));
  for (let turn = 0; turn < turns; turn++) {
    for (const server of turn % 2 === 0 ? servers : servers.toReversed())
      measured.get(server)?.push(await measure(server, SECONDS));
  }
  return measured;
}

/** Which program makes the load. */
export function loadProgram(): 'wrk' | 'autocannon' {
  return isInstalled('wrk') ? 'wrk' : 'autocannon';
}

/**
 * Asks for one URL again and again over 32 connections.
 * @throws Error if a request fails.
 */
export async function load(options: LoadOptions): Promise<Load> {
  const { url, headers, status } = options;
  const { statusCode, body } = await request(url, { headers });
  await body.dump();
  if (statusCode !== status) throw new Error(`${url} was answered with ${statusCode} instead of ${status}`);
  const { failures, ...measured } = loadProgram() === 'wrk' ? await wrk(options) : await autocannon(options);
  if (failures > 0) throw new Error(`${failures} of ${measured.requests} requests to ${url} failed`);
  return measured;
}

async function wrk({ url, headers, seconds, rate, folder }: LoadOptions): Promise<Load & { failures: number }> {
  const script = join(folder, 'wrk.lua');
  // wrk counts in microseconds. A function for each response would make it slow: it copies each body.
  // Of its own it keeps to no rate; each connection waits for whole milliseconds.
  const pause =
    rate === undefined ? '' : `function delay() return ${Math.max(1, Math.round((CONNECTIONS / rate) * 1000))} end\n`;
  await writeFile(
    script,
    `${pause}function done(summary, latency)
  local errors = summary.errors
  print(string.format('{"requests":%d,"requestsPerSecond":%f,"p99":%f,"failures":%d}',
    summary.requests, summary.requests / summary.duration * 1e6, latency:percentile(99) / 1000,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
`,
  );
  const headerArgs = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const output = await run(folder, 'wrk', [
    '-t',
    '1',
    '-c',
    String(CONNECTIONS),
    '-d',
    `${seconds}s`,
    '--timeout',
    '10s',
    '-s',
    script,
    ...headerArgs,
    url,
  ]);
  return JSON.parse(output.slice(output.lastIndexOf('{'))) as Load & { failures: number };
}

async function autocannon({ url, headers, seconds, rate, folder }: LoadOptions): Promise<Load & { failures: number }> {
  const program = createRequire(import.meta.url).resolve('autocannon');
  const headerArgs = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}=${value}`]);
  const output = await run(folder, process.execPath, [
    program,
    '--json',
    '--no-progress',
    '-c',
    String(CONNECTIONS),
    '-d',
    String(seconds),
    ...(rate === undefined ? [] : ['-R', String(Math.round(rate))]),
    ...headerArgs,
    url,
  ]);
  const { requests, latency, errors, timeouts, '4xx': refused, '5xx': failed } = JSON.parse(output) as AutocannonResult;
  return {
    requests: requests.total,
    requestsPerSecond: requests.average,
    p99: latency.p99,
    failures: errors + timeouts + refused + failed,
  };
}

interface AutocannonResult {
  readonly requests: { readonly total: number; readonly average: number };
  readonly latency: { readonly p99: number };
  readonly errors: number;
  readonly timeouts: number;
  readonly '4xx': number;
  readonly '5xx': number;
}

function run(folder: string, command: string, args: readonly string[]): Promise<string> {
  return runCommand(command, args, { env: bareEnvironment(folder) });
}
