/**
 * `npm run dev [-- --replicas COUNT]`: runs the development environment until Ctrl-C; restarts the service, or one replica
 * after another, when its sources change.
 */
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

async function develop(args: readonly string[], replicas: number | undefined): Promise<void> {
  requirePrograms('docker-registry', 'skopeo', 'rabbitmq-server');
  if (replicas !== undefined) requirePrograms('postgres', 'nginx');
  refuseAnother();
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) return;
    say('\nStopping');
    stop.abort();
  };
  // Both npm and the terminal may send a signal.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);

  say(
    replicas === undefined
      ? 'Starting a registry, a broker and the service'
      : `Starting a registry, a broker, a database, ${replicas} replicas and nginx`,
  );
  {
    const outputs = Array.from({ length: replicas ?? 1 }, (_, number) =>
      readable(replicas === undefined ? '' : `replica ${number + 1}: `),
    );
    await using development = await startDevelopment({
      args,
      replicas,
      onOutput: (text, number) => outputs[number]?.(text),
    });
    using _ = announce(development);
    say(summary(development));
    await Promise.all([
      watchSources(SOURCES, stop.signal, (file) => restart(development, file)),
      stop.signal.aborted || once(stop.signal, 'abort'),
    ]);
  }
  say('Stopped; nothing is left');
}

/**
 * Restarts each service; if one fails, as with a mistake in the sources, the others go on, and the next change tries
 * again.
 */
async function restart({ servers }: Development, file: string): Promise<void> {
  say(`${file} has changed: restarting the service`);
  try {
    for (const server of servers) {
      if (server.isStarted) await server.stop();
      await server.start();
      say(`Serving again at ${server.url}`);
    }
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

/** Returns a function that prints the output of a service in readable form, with `prefix` before each message. */
function readable(prefix: string): (text: string) => void {
  const output = new PassThrough();
  const log = pretty({
    colorize: process.stdout.isTTY,
    singleLine: true,
    messageFormat: `${prefix}{msg}`,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss',
    sync: true,
  });
  createInterface({ input: output }).on('line', (line) => log.write(`${line}\n`));
  return (text) => output.write(text);
}

function summary(development: Development): string {
  const { url, registry, brokerUrl, adminToken, eventsToken, servers, database } = development;
  const replicas =
    database === undefined
      ? ''
      : `The replicas   ${servers.map((server) => server.url).join(', ')}, behind nginx (${url}/status says which one leads)
The database   ${database}
`;
  return `
The page       ${url}/
The index      ${url}/index/apps.json
${replicas}\
The registry   ${registry} (what it holds can be pulled from ${url}/v2/ too)
The broker     ${brokerUrl}
admin_token    ${adminToken}
events_token   ${eventsToken}
The state      ${servers.map(({ folder }) => folder).join(', ')}

To install from it:
  flatpak remote-add --user dev oci+${url}
  flatpak install --user dev org.example.Hello

To see it change:
  npm run dev:push      pushes a new version of a sample app
  npm run dev:trigger   announces a complete compose on the bus

Ctrl-C stops all of it and removes the state.
`;
}

/** @throws Error if `text` is no number of replicas */
function countOf(text: string | undefined): number | undefined {
  if (text !== undefined && !/^[1-9]$/.test(text))
    throw new Error(`--replicas ${text} is not a whole number from 1 to 9`);
  return text === undefined ? undefined : Number(text);
}

await runAsCommand(async () => {
  const { values } = parseArgs({
    options: { verbose: { type: 'boolean', short: 'v', default: false }, replicas: { type: 'string' } },
  });
  await develop(values.verbose ? ['-v'] : [], countOf(values.replicas));
});
