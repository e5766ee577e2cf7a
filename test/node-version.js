/** Says which Node.js the tests need. JavaScript, so that an older one can run it: `npm test` does, and so does its `node --test`. */
import { readFileSync } from 'node:fs';

const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const needed = engines.node.replace('>=', '');
const [major = 0, minor = 0] = needed.split('.').map(Number);
const [itsMajor = 0, itsMinor = 0] = process.versions.node.split('.').map(Number);
if (itsMajor < major || (itsMajor === major && itsMinor < minor)) {
  process.stderr.write(`tests need Node.js ${needed} or newer, and this is ${process.versions.node}: run them with npm test; if that says this too, run npm ci again, without --ignore-scripts\n`);
  process.exitCode = 1;
}
