/** Large documents in parts, so that a new version costs only those that changed. */
import { hash } from 'node:crypto';
import { NAME_BYTES } from '../publication-row.ts';

/** End of a sync flush of zlib. */
const FLUSH = Buffer.of(0, 0, 0xff, 0xff);

/** A part of a document. */
export interface DocumentPart {
  /** SHA-256 of its bytes, in hexadecimal. */
  readonly name: string;
  readonly bytes: Buffer;
}

/**
 * Cuts a document after each sync flush of zlib, with which each page of a list of apps ends; so where it is cut depends
 * on its content alone, and equal pages are equal parts.
 */
export function partsOf(document: Buffer): readonly DocumentPart[] {
  const parts: DocumentPart[] = [];
  for (let start = 0; start < document.length;) {
    const found = document.indexOf(FLUSH, start);
    const end = found === -1 ? document.length : found + FLUSH.length;
    const bytes = document.subarray(start, end);
    parts.push({ name: hash('sha256', bytes), bytes });
    start = end;
  }
  return parts;
}

/** SQL for a subquery: the names that a parameter joins, as bytes. */
export function namesOf(parameter: string): string {
  return `SELECT substr(${parameter}::bytea, place, ${NAME_BYTES}) FROM generate_series(1, length(${parameter}::bytea), ${NAME_BYTES}) AS place`;
}
