#!/usr/bin/env node
/** The program `regindexer-daemon`, as `regindexer serve` was called in the program that this one replaces. */
import { start } from './start.ts';

await start(['serve', ...process.argv.slice(2)]);
