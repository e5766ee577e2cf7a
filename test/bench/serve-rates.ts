/** Requests a second of the answers that are ready, beside a bare handler and nginx. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'undici';
import { isInstalled } from '../peers/installed.ts';
import type { Nginx } from '../peers/nginx.ts';
import { startNginx } from '../peers/nginx.ts';
import type { ConstantAnswer } from './constant-answer.ts';
import { askOnce, startBareServer } from './constant-answer.ts';
import type { Load } from './load.ts';
import { inTurns, load, loadProgram } from './load.ts';
import { median } from './median.ts';
import type { Cell, Table } from './table.ts';

/** A request that is asked of every server. */
export interface Case {
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly answer: ConstantAnswer;
}

/**
 * What Flatpak asks for, again and again: the index of one tag and architecture, whether it has changed, and an icon.
 */
export async function casesOf(url: string, question: string): Promise<readonly Case[]> {
  const gzip = { 'accept-encoding': 'gzip' };
  const index = await askOnce(url, question, gzip);
  const unchanged = { ...gzip, 'if-none-match': index.headers['etag'] ?? '' };
  const identity = await askOnce(url, question, {});
  const [, icon = ''] = /"org\.freedesktop\.appstream\.icon-128":"([^"]+)"/.exec(identity.body.toString()) ?? [];
  return [
    { name: 'index, gzip', headers: gzip, answer: index },
    { name: 'index, 304', headers: unchanged, answer: await askOnce(url, question, unchanged) },
    { name: 'icon', headers: {}, answer: await askOnce(url, icon, {}) },
  ];
}

const RUNS = 3;
/**
 * In each run. How fast a process of Node.js is, differs from one start to the next by up to a tenth, whatever it runs.
 */
const STARTS = 3;
/** After each start. */
const TURNS = 3;

/** What a server did in one run: the medians of all its turns. */
interface Rates extends Pick<Load, 'requestsPerSecond' | 'p99'> {
  /** Times those of the bare server in the turns beside. */
  readonly ratio: Pick<Load, 'requestsPerSecond' | 'p99'>;
}

/** @param startServer starts regindexer with what `cases` are about */
export async function ratesTable(
  startServer: () => Promise<AsyncDisposable & { readonly url: string }>,
  cases: readonly Case[],
  folder: string,
): Promise<Table> {
  /** Of each case by the name of the server, a figure for each run. */
  const runs = new Map(cases.map((each) => [each, new Map<string, Rates[]>()]));
  for (let run = 1; run <= RUNS; run++) {
    const loads = new Map(cases.map((each) => [each, new Map<string, Load[]>()]));
    for (let start = 1; start <= STARTS; start++) {
      await using started = await startServer();
      await using bare = await startBareServer(cases.map(({ answer }) => answer));
      await using nginx = isInstalled('nginx')
        ? await startStaticNginx(cases, join(folder, `nginx-${run}-${start}`))
        : undefined;
      for (const [each, loadsBy] of loads) {
        process.stderr.write(`load: ${each.name}, run ${run} of ${RUNS}, start ${start} of ${STARTS}\n`);
        for (const [server, added] of await loadsOf(each, started.url, bare.urlOf(each.answer), nginx?.url, folder)) {
          loadsBy.set(server, [...(loadsBy.get(server) ?? []), ...added]);
        }
      }
    }
    for (const [each, ratesBy] of runs) {
      for (const [server, rates] of ratesOf(loads.get(each) ?? new Map()))
        ratesBy.set(server, [...(ratesBy.get(server) ?? []), rates]);
    }
  }
  return {
    title: `Serving what is ready, load by ${loadProgram()} (medians of ${RUNS} runs, each of ${TURNS} turns with ${STARTS} starts of each server)`,
    columns: [
      { name: 'request' },
      { name: 'bytes' },
      { name: 'server' },
      { name: 'requests/s' },
      { name: '× bare', digits: 2 },
      { name: 'p99 ms', digits: 2 },
      { name: 'p99 × bare', digits: 2 },
      { name: 'to reach' },
    ],
    rows: [...runs].flatMap(([{ name, answer }, ratesBy]) =>
      [...ratesBy].map(([server, rates]): readonly Cell[] => {
        const middle = (value: (run: Rates) => number): number => median(rates.map(value));
        const target = server === REGINDEXER ? '≥ 0.95 × bare, p99 ≤ 1.2 × bare' : '';
        return [
          name,
          answer.body.length,
          server,
          middle((run) => run.requestsPerSecond),
          middle(({ ratio }) => ratio.requestsPerSecond),
          middle((run) => run.p99),
          middle(({ ratio }) => ratio.p99),
          target,
        ];
      }),
    ),
  };
}

export const BARE = 'bare Fastify';
export const REGINDEXER = 'regindexer';

/** What was measured in each turn, by the name of the server. */
async function loadsOf(
  { headers, answer }: Case,
  url: string,
  bareUrl: string,
  nginxUrl: string | undefined,
  folder: string,
): Promise<ReadonlyMap<string, readonly Load[]>> {
  const { path, status } = answer;
  const servers = [
    { server: BARE, url: bareUrl, headers },
    { server: REGINDEXER, url: url + path, headers },
    ...(nginxUrl === undefined
      ? []
      : [
          {
            server: 'nginx, 1 worker',
            url: nginxUrl + path,
            headers: await nginxHeaders(nginxUrl + path, headers, status),
          },
        ]),
  ];
  const measured = await inTurns(servers, TURNS, (server, seconds) =>
    load({ url: server.url, headers: server.headers, status, seconds, folder }),
  );
  return new Map([...measured].map(([{ server }, loads]) => [server, loads]));
}

/** By the name of the server. */
function ratesOf(loadsBy: ReadonlyMap<string, readonly Load[]>): ReadonlyMap<string, Rates> {
  const bare = loadsBy.get(BARE) ?? [];
  return new Map(
    [...loadsBy].map(([server, loads]) => {
      const middle = (key: keyof Rates['ratio']): number => median(loads.map((measured) => measured[key]));
      const ratio = (key: keyof Rates['ratio']): number =>
        median(loads.map((measured, turn) => measured[key] / (bare[turn] ?? measured)[key]));
      return [
        server,
        {
          requestsPerSecond: middle('requestsPerSecond'),
          p99: middle('p99'),
          ratio: { requestsPerSecond: ratio('requestsPerSecond'), p99: ratio('p99') },
        },
      ];
    }),
  );
}

/** nginx makes its own entity tags. */
async function nginxHeaders(
  url: string,
  headers: Readonly<Record<string, string>>,
  status: number,
): Promise<Readonly<Record<string, string>>> {
  if (status !== 304) return headers;
  const { 'if-none-match': _, ...others } = headers;
  const { headers: answered, body } = await request(url, { headers: others });
  await body.dump();
  return { ...others, 'if-none-match': String(answered['etag']) };
}

/** Serves the same bodies from files, the index compressed beforehand. */
async function startStaticNginx(cases: readonly Case[], folder: string): Promise<Nginx> {
  const locations: string[] = [];
  await mkdir(folder);
  for (const [
    number,
    {
      answer: { path, status, headers, body },
    },
  ] of cases.entries()) {
    if (status !== 200) continue;
    const file = join(folder, String(number));
    const gzip = headers['content-encoding'] === 'gzip';
    await writeFile(file, body);
    if (gzip) await writeFile(`${file}.gz`, body);
    const [route = ''] = path.split('?', 1);
    locations.push(
      `location = ${route} { alias ${file}; default_type ${headers['content-type']?.split(';', 1)[0]}; gzip_static ${gzip ? 'on' : 'off'}; }`,
    );
  }
  return startNginx({
    http: 'sendfile on; tcp_nopush on; keepalive_requests 100000000; open_file_cache max=100; gzip_vary on;',
    server: locations.join('\n'),
  });
}
