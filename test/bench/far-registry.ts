/**
 * Stands in front of a registry as if that were far away.
 *
 *     node far-registry.ts URL MILLISECONDS
 *
 * Passes on what comes either way half of a round trip of so many milliseconds later; writes its own URL first.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

const [url = '', roundTrip = '0'] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const delay = Number(roundTrip) / 2;

function later(run: () => void): void {
  if (delay === 0) run();
  else setTimeout(run, delay);
}

function passOn(from: Socket, to: Socket): void {
  from.setNoDelay(true);
  from.on('data', (chunk) => later(() => void to.write(chunk)));
  from.on('end', () => later(() => void to.end()));
  from.on('error', () => to.destroy());
}

const server = createServer((client) => {
  const registry = connect(Number(port), hostname);
  passOn(client, registry);
  passOn(registry, client);
});
server.listen(0, '127.0.0.1', () =>
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`),
);
