#!/usr/bin/env -S node --max-semi-space-size=8
/** The program `regindexer-daemon`, as `regindexer serve` was called in the program that this one replaces. */
import { start } from './commands/start.ts';

await start(['serve', ...process.argv.slice(2)]);
