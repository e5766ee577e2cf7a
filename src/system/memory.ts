/** Imported for its side effect: has Node.js take less memory for what is kept. */
import { Buffer } from 'node:buffer';
import v8 from 'node:v8';

// A small buffer that is kept, in a chunk or an answer, keeps the whole pool that Node.js cut it from: 64 KiB unless set.
Buffer.poolSize = 8 * 1024;
// V8 collects old objects when they have become several times as many as are alive, and gives little of that memory back.
v8.setFlagsFromString('--heap-growing-percent=40');
