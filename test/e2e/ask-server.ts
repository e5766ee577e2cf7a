/** What a running server is asked over HTTP, by clients and by its administrator. */
import assert from 'node:assert/strict';
import { request } from 'undici';
import { OCI_IMAGE_INDEX } from '../../src/registry/media-types.ts';
import type { IndexJson } from '../indexing/test-state.ts';
import { eventually } from './eventually.ts';

/** The `server.admin_token` and `server.events_token` of the servers that are asked. */
export const TOKEN = 'token-of-the-tests';

/** Headers of requests that need it. */
export const AUTHORIZED = { authorization: `Bearer ${TOKEN}` };

/** A rebuild as `/status` and `/reindex` tell of it; times in ISO 8601. */
export interface RebuildJson {
  readonly id: string;
  readonly reasons: readonly string[];
  readonly state: 'queued' | 'running' | 'done' | 'failed';
  readonly queuedAt: string;
  readonly finishedAt?: string;
  readonly result?: { readonly requests: number; readonly newImages: number; readonly failed: number };
  readonly error?: string;
}

/** The part of `/status` that is read here. */
export interface StatusJson {
  readonly indexes: readonly {
    readonly name: string;
    readonly images?: number;
    readonly etag?: string;
    readonly warnings?: readonly string[];
  }[];
  /** The newest first. */
  readonly rebuilds: readonly RebuildJson[];
  readonly bus: {
    readonly state: string;
    readonly reconnects: number;
    readonly messages: { readonly triggered: number; readonly ignored: number; readonly malformed: number };
  } | null;
  readonly events: { readonly triggered: number; readonly ignored: number; readonly malformed: number };
  readonly deltas?: {
    readonly pending: number;
    readonly made: number;
    readonly unsuitable: number;
    readonly failed: number;
    readonly saved: number;
    readonly making?: { readonly repository: string };
    readonly lastError?: { readonly message: string };
  };
}

/** An answer with its body as it came. */
export interface Answer {
  readonly etag: string;
  readonly body: Buffer;
}

/** @throws AssertionError unless the answer is a 200 */
export async function get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const answer = await request(url, { headers });
  const body = Buffer.from(await answer.body.arrayBuffer());
  assert.equal(answer.statusCode, 200, `${url}: ${body.toString()}`);
  return { etag: String(answer.headers.etag), body };
}

/** The whole of the index `name`. */
export async function indexOf(url: string, name = 'apps'): Promise<IndexJson> {
  return JSON.parse((await get(`${url}/index/${name}.json`)).body.toString()) as IndexJson;
}

/** The digests that an index has in a repository, those of images and of lists. */
export function digestsIn(index: IndexJson, repository: string): readonly string[] {
  const found = index.Results.find(({ Name }) => Name === repository);
  return [...(found?.Images ?? []), ...(found?.Lists ?? [])].map(({ Digest }) => Digest);
}

/** The state as administrators see it; as anybody does without their headers, or if the server has no token. */
export async function statusOf(
  url: string,
  headers: Readonly<Record<string, string>> = AUTHORIZED,
): Promise<StatusJson> {
  return JSON.parse((await get(`${url}/status`, headers)).body.toString()) as StatusJson;
}

/** Waits until all indexes can be served and nothing is being rebuilt. */
export async function settled(url: string): Promise<StatusJson> {
  return eventually(async () => {
    await get(`${url}/readyz`);
    // Whatever its administrator's token is.
    const status = await statusOf(url, {});
    assert.ok(
      status.rebuilds.length > 0 && status.rebuilds.every(({ finishedAt }) => finishedAt !== undefined),
      'a rebuild is under way',
    );
    return status;
  });
}

/** Rebuilds everything, and waits until that is done. */
export async function reindex(url: string): Promise<RebuildJson> {
  const { statusCode, body } = await request(`${url}/reindex?wait=true`, {
    method: 'POST',
    headers: AUTHORIZED,
  });
  const text = await body.text();
  assert.equal(statusCode, 200, text);
  return JSON.parse(text) as RebuildJson;
}

/** Asks for a rebuild; does not wait for it. */
export async function requestRebuild(
  url: string,
  asked: { readonly index?: string; readonly repository?: string } = {},
): Promise<{ readonly statusCode: number; readonly id: string; readonly message: string }> {
  const { statusCode, body } = await request(`${url}/reindex`, {
    method: 'POST',
    headers: { ...AUTHORIZED, 'content-type': 'application/json' },
    body: JSON.stringify(asked),
  });
  const { id = '', message = '' } = (await body.json()) as { readonly id?: string; readonly message?: string };
  return { statusCode, id, message };
}

/** The state of a rebuild that was asked for. */
export async function rebuildOf(url: string, id: string): Promise<RebuildJson> {
  return JSON.parse((await get(`${url}/reindex/${id}`, AUTHORIZED)).body.toString()) as RebuildJson;
}

/** Says what Distribution says after a push; returns the status of the answer. */
export async function notify(url: string, repository: string, tag = 'latest'): Promise<number> {
  const target = { mediaType: OCI_IMAGE_INDEX, repository, tag };
  const { statusCode, body } = await request(`${url}/events`, {
    method: 'POST',
    headers: AUTHORIZED,
    body: JSON.stringify({ events: [{ action: 'push', target }] }),
  });
  await body.dump();
  return statusCode;
}
