/** Takes the lock of a folder, says so, and holds it until it is told to end: `hold-lock.ts FOLDER`. */
import { StateLock } from '../../../src/store/state-lock.ts';

const lock = StateLock.acquire(process.argv[2] ?? '');
process.stdin.once('end', () => {
  lock.release();
}).resume();
console.log('held');
