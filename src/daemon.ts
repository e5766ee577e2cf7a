#!/usr/bin/env -S node --max-semi-space-size=8
/** The program `regindexer-daemon`: `regindexer serve` under its name in the original regindexer. */
import { start } from './commands/start.ts';

await start(['serve', ...process.argv.slice(2)]);
