/** Has V8 know how much shared memory there is. */

const counted = new WeakMap<SharedArrayBuffer, ArrayBuffer>();

/**
 * V8 does not count shared memory, and so collects it only when something else makes it collect: of a server that replaces large
 * snapshots often, gigabytes are left behind. What is counted in its place, for as long as this thread has the shared memory, is an
 * address space of the same size; nothing is ever written there, so that it takes no memory.
 */
export function countShared(memory: SharedArrayBuffer): SharedArrayBuffer {
  const size = memory.byteLength;
  // That it could be resized makes it pages of its own, which the system provides when they are first touched.
  if (size > 0 && !counted.has(memory)) counted.set(memory, new ArrayBuffer(size, { maxByteLength: size }));
  return memory;
}
