#!/usr/bin/env node
/** The program `regindexer`. */
import { start } from './start.ts';

await start(process.argv.slice(2));
