#!/usr/bin/env node
/** `regindexer-daemon`, the name of `regindexer serve` in the program that this one replaces. */
import { run } from './cli.ts';

process.exitCode = await run(['serve', ...process.argv.slice(2)]);
