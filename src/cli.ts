#!/usr/bin/env node
/** The program `regindexer`. */
import { enableCompileCache } from 'node:module';

// A short run is mostly loading: what was compiled once need not be again.
enableCompileCache();
const { run } = await import('./commands.ts');
process.exitCode = await run(process.argv.slice(2));
