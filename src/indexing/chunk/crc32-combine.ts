/**
 * Combines CRC-32 checksums as zlib's `crc32_combine` does: products of polynomials over GF(2), modulo that of CRC-32.
 */

/** x³²+x²⁶+…+1 without its highest term; the coefficient of x⁰ is the highest bit. */
const POLYNOMIAL = 0xedb88320;
/** x raised to 2⁰, 2¹, … 2³¹, after which the powers repeat. */
const POWERS: readonly number[] = powers();

/**
 * Returns the CRC-32 of A followed by B.
 * @param length length of B in bytes, which may be over 4 GiB
 */
export function combineCrc32(crcA: number, crcB: number, length: number): number {
  return (multiply(powerOfX(length), crcA) ^ crcB) >>> 0;
}

function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= b;
    b = (b & 1) === 0 ? b >>> 1 : (b >>> 1) ^ POLYNOMIAL;
  }
  return product >>> 0;
}

/** Returns x raised to 8 × `length`. */
function powerOfX(length: number): number {
  let power = 0x80000000;
  // Starts at 3, since the length counts bytes of 2³ bits.
  for (let place = 3, left = length; left > 0; place++, left = Math.floor(left / 2)) {
    if (left % 2 === 1) power = multiply(POWERS[place % 32] as number, power);
  }
  return power;
}

function powers(): number[] {
  const all = [0x40000000];
  for (let place = 1; place < 32; place++) all.push(multiply(all[place - 1] as number, all[place - 1] as number));
  return all;
}
