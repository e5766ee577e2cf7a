/** Writes more than a client should take, and measures what it keeps. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { eventually } from '../../e2e/eventually.ts';

export const MEBIBYTE = 1024 * 1024;

/** A client's connection on the broker's side. */
interface Peer {
  readonly socket: Socket;
}

/** Waits until the client has closed the connection. */
export async function gone({ socket }: Peer): Promise<void> {
  // Not `once` of node:events, which rejects on an error.
  await new Promise((resolve) => {
    socket.once('close', resolve);
  });
}

/**
 * Writes `chunk` repeatedly, with backpressure, until the client closes the connection. Returns the number of bytes
 * written.
 */
export async function flood(peer: Peer, chunk: Buffer, limit = Infinity): Promise<number> {
  let bytes = 0;
  const closed = gone(peer);
  while (!peer.socket.destroyed && bytes < limit) {
    bytes += chunk.length;
    if (!peer.socket.write(chunk))
      await Promise.race([new Promise((resolve) => peer.socket.once('drain', resolve)), closed]);
  }
  return bytes;
}

/** Returns `piece` again and again, in at least so many bytes. */
export function repeated(piece: string | Buffer, bytes: number): Buffer {
  const one = Buffer.from(piece);
  return Buffer.alloc(one.length * Math.ceil(bytes / one.length), one);
}

/** Waits until memory in use is at most so much above the start. */
export async function noMore(before: number, bytes: number): Promise<void> {
  await eventually(() => {
    const grown = used() - before;
    assert.ok(grown < bytes, `${(grown / MEBIBYTE).toFixed(1)} MiB more in use`);
  });
}

/** Bytes in use after garbage collection. */
export function used(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  // Buffers are freed by another thread, for which the second collection waits.
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
