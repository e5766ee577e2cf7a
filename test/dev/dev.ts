/** `npm run dev`: runs the development environment until Ctrl-C; restarts the service when its sources change. */
import { once } from 'node:events';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import pretty from 'pino-pretty';
import { requirePrograms } from '../peers/installed.ts';
import { startDevelopment, type Development } from './development.ts';
import { announce, refuseAnother } from './environment.ts';
import { runAsCommand } from './run-as-command.ts';
import { watchSources } from './watch-sources.ts';

const SOURCES = ['src', 'public'].map((folder) => join(import.meta.dirname, '../..', folder));

const say = (text: string): unknown => process.stdout.write(`${text}\n`);

async function develop(args: readonly string[]): Promise<void> {
  requirePrograms('docker-registry', 'skopeo', 'rabbitmq-server');
  refuseAnother();
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) return;
    say('\nStopping');
    stop.abort();
  };
  // Both npm and the terminal may send a signal.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);

  say('Starting a registry, a broker and the service');
  {
    await using development = await startDevelopment({ args, onOutput: readable() });
    using _ = announce(development);
    say(summary(development));
    await Promise.all([
      watchSources(SOURCES, stop.signal, (file) => restart(development, file)),
      stop.signal.aborted || once(stop.signal, 'abort'),
    ]);
  }
  say('Stopped; nothing is left');
}

/** Restarts the service; if it fails, as with a mistake in the sources, the next change tries again. */
async function restart({ server }: Development, file: string): Promise<void> {
  say(`${file} has changed: restarting the service`);
  try {
    if (server.isStarted) await server.stop();
    await server.start();
    say(`Serving again at ${server.url}`);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

/** Returns a function that prints the service's output in readable form. */
function readable(): (text: string) => void {
  const output = new PassThrough();
  const log = pretty({
    colorize: process.stdout.isTTY,
    singleLine: true,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss',
    sync: true,
  });
  createInterface({ input: output }).on('line', (line) => log.write(`${line}\n`));
  return (text) => output.write(text);
}

function summary({ url, registry, brokerUrl, adminToken, eventsToken, server }: Development): string {
  return `
The page       ${url}/
The index      ${url}/index/apps.json
The registry   ${registry} (what it holds can be pulled from ${url}/v2/ too)
The broker     ${brokerUrl}
admin_token    ${adminToken}
events_token   ${eventsToken}
The state      ${server.folder}

To install from it:
  flatpak remote-add --user dev oci+${url}
  flatpak install --user dev org.example.Hello

To see it change:
  npm run dev:push      pushes a new version of a sample app
  npm run dev:trigger   announces a complete compose on the bus

Ctrl-C stops all of it and removes the state.
`;
}

const { values } = parseArgs({ options: { verbose: { type: 'boolean', short: 'v', default: false } } });
await runAsCommand(() => develop(values.verbose ? ['-v'] : []));
