/** Builds the state of a server over a random registry: `node index-random.ts CONFIG REPOSITORIES`. */
import { buildRandomState, usualApps } from './random-state.ts';

const [config = '', repositories] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await buildRandomState(config, usualApps(Number(repositories)))));
