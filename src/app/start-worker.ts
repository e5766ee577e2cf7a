/** Where the build thread begins. */
import { enableCompileCache } from 'node:module';
import '../system/memory.ts';

// A thread does not take over the cache of the one that starts it, and would compile for twice the time that loading takes.
enableCompileCache();
await import('./indexing-worker.ts');
