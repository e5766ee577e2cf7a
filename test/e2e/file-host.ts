/** A host of plain files, as a CDN or GitHub Pages is one: it ignores queries, and guesses types by endings alone. */
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
};

export interface FileHost extends AsyncDisposable {
  /** Of the folder, without a last `/`. */
  readonly url: string;
  /** Paths that were asked for, with their methods: `GET /index/static`. */
  readonly asked: string[];
}

/**
 * Serves `folder`, which may be missing at first, below `path`, such as `/repo`.
 * @param readsHeaders sends the headers in the folder's `_headers`, as Cloudflare Pages and Netlify do
 */
export async function startFileHost(folder: string, path = '', readsHeaders = false): Promise<FileHost> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://localhost');
    asked.push(`${request.method} ${pathname}`);
    const name = decodeURIComponent(pathname.slice(path.length)).replace(/\/$/, '/index.html');
    const file = join(folder, name);
    const answer = async (): Promise<void> => {
      const stats = await stat(file);
      if (!stats.isFile() || !pathname.startsWith(`${path}/`)) throw new Error('not a file');
      response.writeHead(200, {
        'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
        'content-length': stats.size,
        'last-modified': stats.mtime.toUTCString(),
        ...(readsHeaders && headersFor(pathname, await readFile(join(folder, '_headers'), 'utf8'))),
      });
      if (request.method === 'HEAD') response.end();
      else createReadStream(file).pipe(response);
    };
    answer().catch(() => response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>404</h1>'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The headers that the rules of a `_headers` file give a path; those of several rules are joined. */
function headersFor(path: string, rules: string): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  let applies = false;
  for (const line of rules.split('\n')) {
    const [, name = '', value = ''] = /^ {2}([^:]+): (.*)$/.exec(line) ?? [];
    if (name === '') applies = line.endsWith('*') ? path.startsWith(line.slice(0, -1)) : path === line;
    else if (applies) headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return headers;
}
