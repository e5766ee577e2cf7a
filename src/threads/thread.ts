/** Where each thread begins: runs the module of this folder that its first argument names. */
import { enableCompileCache } from 'node:module';
import '../buffer-pool.ts';

// A thread does not take over the cache of the one that starts it, and would compile for twice the time that loading takes.
enableCompileCache();
await import(String(process.argv[2]));
