/** The icons: content-addressed, so they never change. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import { iconPath, isIconPath } from '../../indexing/icon-path.ts';
import { digestOf } from '../../registry/digest.ts';
import { withoutBasePath } from '../base-path.ts';
import { IMMUTABLE } from '../cache-control.ts';
import { isFresh } from '../entity-tag.ts';
import type { ReadyAnswers } from '../plugins/ready-answers.ts';
import { NOT_SNIFFED } from '../plugins/security-headers.ts';
import type { Headers } from '../published-index.ts';
import { NotFound } from '../server-error.ts';

const MAX_BYTES_IN_MEMORY = 32 * 1024 * 1024;

interface Icon {
  readonly etag: string;
  readonly body: Buffer;
  readonly headers: Headers;
  readonly freshHeaders: Headers;
}

export interface IconRoutesOptions {
  readonly iconsDir: string;
  /** The paths below which icons are served; each ends with `/`. */
  readonly prefixes: readonly string[];
  readonly readyAnswers: ReadyAnswers;
}

/** The paths that `iconsUri` leads to from an index's documents, without `basePath`. */
export function iconPrefixes(iconsUri: string, indexes: Iterable<string>, basePath: string): readonly string[] {
  const documents = ['/index/static', ...[...indexes].map((index) => `/${index}/index/static`)];
  return [...new Set(documents.map((document) => decodeURIComponent(withoutBasePath(new URL(iconsUri, new URL(document, 'http://localhost')).pathname, basePath))))];
}

export function iconRoutes(app: FastifyInstance, { iconsDir, prefixes, readyAnswers }: IconRoutesOptions): void {
  const icons = new LRUCache<string, Icon>({ maxSize: MAX_BYTES_IN_MEMORY, sizeCalculation: ({ body }) => body.length + 512 });

  const load = async (path: string): Promise<Icon | undefined> => {
    if (!isIconPath(path)) return undefined;
    const body = await readFile(join(iconsDir, path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw error;
    });
    if (body === undefined) return undefined;
    if (iconPath(digestOf(body)) !== path) {
      app.log.warn({ icon: path }, 'an icon is not what its name says; the next rebuild after its removal writes it again');
      return undefined;
    }
    const etag = `"${path.replace('/', '').slice(0, 32)}"`;
    const freshHeaders = { etag, 'cache-control': IMMUTABLE };
    return { etag, body, freshHeaders, headers: { ...freshHeaders, ...NOT_SNIFFED, 'content-type': 'image/png', 'content-length': String(body.length) } };
  };

  for (const prefix of prefixes) {
    // A colon alone would begin a parameter.
    app.get<{ Params: { '*': string } }>(`${prefix.replaceAll(':', '::')}*`, async (request, reply) => {
      const path = request.params['*'];
      let icon = icons.get(path);
      if (icon === undefined) {
        icon = await load(path);
        if (icon === undefined) throw new NotFound('There is no such icon here; it may belong to an older index.');
        icons.set(path, icon);
      }
      readyAnswers.keep(reply, icon.body.length);
      if (isFresh(request.headers, icon.etag)) return reply.code(304).headers(icon.freshHeaders).send();
      return reply.headers(icon.headers).send(icon.body);
    });
  }
}
