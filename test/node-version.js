/**
 * Says which Node.js the tests need. It is JavaScript, so that `npm test` and `node --test` of an old Node.js can run
 * it.
 */
import { readFileSync } from 'node:fs';

const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const needed = engines.node.replace('>=', '');
const [major = 0, minor = 0] = needed.split('.').map(Number);
const [itsMajor = 0, itsMinor = 0] = process.versions.node.split('.').map(Number);
if (itsMajor < major || (itsMajor === major && itsMinor < minor)) {
  process.stderr.write(
    `tests need Node.js ${needed} or newer, but this is ${process.versions.node}: run them with npm test; if that fails too, run npm ci without --ignore-scripts\n`,
  );
  process.exitCode = 1;
}
