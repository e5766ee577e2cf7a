/**
 * The state of a server over a random registry.
 *
 *     node index-random.ts build REPOSITORIES CONFIG   builds it
 *     node index-random.ts source REPOSITORIES         makes up the registry alone
 */
import '../../src/system/memory.ts';
import { buildRandomState, readRandomSource, usualApps } from './random-state.ts';

const [mode, repositories, config = ''] = process.argv.slice(2);
const apps = usualApps(Number(repositories));
if (mode === 'source') await readRandomSource(apps);
else process.stdout.write(JSON.stringify(await buildRandomState(config, apps)));
