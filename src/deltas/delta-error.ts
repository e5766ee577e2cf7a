/** The error of making and applying deltas: one class, with a code. */

/**
 * - `damaged`: a layer, its tar archive or a delta does not follow its format, or ends early;
 * - `unsupported`: an image or an archive for which no delta can be made;
 * - `too-large`: over a limit;
 * - `digest-mismatch`: the bytes do not match the digest;
 * - `disk`: temporary files cannot be written;
 * - `unequal`: the delta that was made does not lead to the new layer, which is a fault of this program.
 */
export type DeltaErrorCode = 'damaged' | 'unsupported' | 'too-large' | 'digest-mismatch' | 'disk' | 'unequal';

/** Thrown where a delta cannot be made or applied; the message says of which layer, what is wrong and what to do. */
export class DeltaError extends Error {
  override readonly name = 'DeltaError';
  readonly code: DeltaErrorCode;

  constructor(code: DeltaErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
