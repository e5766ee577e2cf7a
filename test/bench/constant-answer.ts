/** An answer that a bare server can give without any work, and that server started. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import type { Peer } from '../peers/peer.ts';
import { startPeer } from '../peers/peer.ts';

const BARE_SERVER = fileURLToPath(new URL('./bare-server.ts', import.meta.url));

/** Headers that Node.js sends by itself. */
const OF_THE_CONNECTION = new Set(['connection', 'date', 'keep-alive', 'transfer-encoding']);

export interface ConstantAnswer {
  /** With the query. */
  readonly path: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** What a server answers now. */
export async function askOnce(
  origin: string,
  path: string,
  asked: Readonly<Record<string, string>>,
): Promise<ConstantAnswer> {
  const { statusCode: status, headers, body } = await request(origin + path, { headers: asked });
  const kept = Object.entries(headers).filter(([name]) => !OF_THE_CONNECTION.has(name));
  return {
    path,
    status,
    headers: Object.fromEntries(kept.map(([name, value]) => [name, String(value)])),
    body: Buffer.from(await body.arrayBuffer()),
  };
}

export interface BareServer extends Peer {
  readonly url: string;
  /** Where it gives this answer, whatever it is asked with. */
  readonly urlOf: (answer: ConstantAnswer) => string;
}

/**
 * Starts a Fastify server in a process of its own that gives these answers.
 * @param beside a server whose port it listens on as well
 */
export async function startBareServer(answers: readonly ConstantAnswer[], beside?: BareServer): Promise<BareServer> {
  const peer = await startPeer('bare-server', async (folder) => {
    const file = join(folder, 'answers.json');
    await writeFile(
      file,
      JSON.stringify(
        answers.map((answer) => ({ ...answer, route: routeOf(answer), body: answer.body.toString('base64') })),
      ),
    );
    return {
      command: process.execPath,
      args: [BARE_SERVER, file, ...(beside === undefined ? [] : [new URL(beside.url).port])],
      answers: async (log: string) => {
        if (!log.includes('\n')) throw new Error('it has not said its URL yet');
      },
    };
  });
  const url = peer.log.trim();
  return Object.assign(peer, {
    url,
    urlOf: (answer: ConstantAnswer) => url + routeOf(answer) + answer.path.slice(pathOf(answer).length),
  });
}

/** One for each status, of the same length. */
function routeOf(answer: ConstantAnswer): string {
  return `/${answer.status}${pathOf(answer)}`;
}

function pathOf({ path }: ConstantAnswer): string {
  return path.split('?', 1)[0] ?? path;
}
