/** Imported for its side effect: reduces the memory that Node.js holds. */
import { Buffer } from 'node:buffer';
import v8 from 'node:v8';

// A small buffer in a chunk or an answer keeps the whole pool of Node.js alive that it is a part of: 64 KiB by default.
Buffer.poolSize = 8 * 1024;
// By default V8 collects old objects only after the heap has grown to several times its live size, and returns little
// of that memory.
v8.setFlagsFromString('--heap-growing-percent=40');
