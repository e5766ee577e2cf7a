/** The error of an export. */

/** Thrown if something cannot be exported. */
export class ExportError extends Error {
  override readonly name = 'ExportError';
}
