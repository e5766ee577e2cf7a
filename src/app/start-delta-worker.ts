/** Entry point of the thread that makes deltas. */
import { enableCompileCache } from 'node:module';
import '../system/memory.ts';

enableCompileCache();
await import('./delta-worker.ts');
