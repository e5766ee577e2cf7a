#!/usr/bin/env node
/** The program `regindexer-daemon`, as `regindexer serve` was called in the program that this one replaces. */
import { enableCompileCache } from 'node:module';

enableCompileCache();
const { run } = await import('./commands.ts');
process.exitCode = await run(['serve', ...process.argv.slice(2)]);
