/** Splits zstd streams into their frames (RFC 8878, section 3.1), because Node.js ends after the first one. */
import { DeltaError } from './delta-error.ts';

const MAGIC = 0xfd2fb528;
/** Magic numbers of skippable frames, without the last four bits. */
const SKIPPABLE_MAGIC = 0x184d2a5;
const RLE_BLOCK = 1;
const CHECKSUM_BYTES = 4;
/** Bytes of the dictionary's id and of the content's size in a frame header, by their flags. */
const DICTIONARY_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];

/**
 * Yields the same bytes, so that no buffer has bytes of two frames.
 * @throws DeltaError `damaged` if something else stands where a frame should begin
 */
export async function* splitFrames(chunks: AsyncIterable<Buffer>, name: string): AsyncGenerator<Buffer> {
  const frames = readFrames(name);
  let step = nextStep(frames, 0);
  let [value, read] = [0, 0];
  for await (const chunk of chunks) {
    let start = 0;
    for (let place = 0; place < chunk.length;) {
      if (step.read !== undefined) {
        value += (chunk[place++] as number) * 0x100 ** read++;
        if (read < step.read) continue;
      } else {
        const passed = Math.min(step.pass - read, chunk.length - place);
        place += passed;
        read += passed;
        if (read < step.pass) continue;
      }
      step = nextStep(frames, value);
      [value, read] = [0, 0];
      if (step.first) {
        yield chunk.subarray(start, place);
        start = place;
      }
    }
    if (start < chunk.length) yield chunk.subarray(start);
  }
}

/** Bytes that are read as a number (little endian), or passed over; `first` if a frame begins with them. */
type Step = { readonly first?: boolean } & (
  | { readonly read: number; readonly pass?: undefined }
  | { readonly read?: undefined; readonly pass: number }
);

function nextStep(frames: Generator<Step, never, number>, value: number): Step {
  for (;;) {
    const step = frames.next(value).value;
    if (step.pass !== 0) return step;
  }
}

/** Asks for the parts of frame after frame; gets the number that was read. */
function* readFrames(name: string): Generator<Step, never, number> {
  for (;;) {
    const magic = yield { read: 4, first: true };
    if (Math.floor(magic / 0x10) === SKIPPABLE_MAGIC) {
      const size = yield { read: 4 };
      yield { pass: size };
      continue;
    }
    if (magic !== MAGIC) throw new DeltaError('damaged', `${name}: has bytes between its zstd frames`);
    const descriptor = yield { read: 1 };
    const single = (descriptor >> 5) & 1;
    const sized = descriptor >> 6;
    yield {
      pass:
        1 -
        single +
        (DICTIONARY_BYTES[descriptor & 3] as number) +
        (sized === 0 ? single : (CONTENT_SIZE_BYTES[sized] as number)),
    };
    let block: number;
    do {
      block = yield { read: 3 };
      const [type, size] = [(block >> 1) & 3, block >> 3];
      yield { pass: type === RLE_BLOCK ? 1 : size };
    } while ((block & 1) === 0);
    yield { pass: ((descriptor >> 2) & 1) * CHECKSUM_BYTES };
  }
}
