/** Entry point of the indexing thread. */
import { enableCompileCache } from 'node:module';
import '../system/memory.ts';

// A thread does not inherit the compile cache; without it, compiling takes twice as long as loading.
enableCompileCache();
await import('./indexing-worker.ts');
