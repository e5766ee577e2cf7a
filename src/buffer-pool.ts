/**
 * Imported for its side effect: lowers the size of the pools from which Node.js cuts small buffers. A small buffer that is kept, in a chunk
 * or an answer, keeps its whole pool: with the default of 64 KiB, kept answers took 480 MB.
 */
import { Buffer } from 'node:buffer';

Buffer.poolSize = 8 * 1024;
