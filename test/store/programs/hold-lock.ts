/** Takes the lock of a folder, prints that, and holds it until the process is ended: `hold-lock.ts FOLDER`. */
import { StateLock } from '../../../src/store/state-lock.ts';

const lock = StateLock.acquire(process.argv[2] ?? '');
process.stdin
  .once('end', () => {
    lock.release();
  })
  .resume();
console.log('held');
