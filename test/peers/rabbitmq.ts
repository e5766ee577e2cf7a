/** Debian's RabbitMQ with its STOMP plugin; several can run in parallel with the machine's own. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Certificates } from './certificates.ts';
import { freePort } from './free-port.ts';
import { startPeer } from './peer.ts';
import { answersStomp, type Broker } from './stomp.ts';

const HOST = '127.0.0.1';
// /usr/sbin/rabbitmq-server is a wrapper that changes to the user rabbitmq and logs elsewhere.
const SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server';

export interface RabbitmqOptions {
  /** Enables STOMP over TLS too, with client certificates. */
  readonly certificates?: Certificates;
}

export interface Rabbitmq extends Broker {
  /** The URL over TLS, if it has certificates. */
  readonly tlsUrl: string;
}

/** Starts an empty broker, in about 7 s. Durable queues and persistent messages survive a restart. */
export async function startRabbitmq({ certificates }: RabbitmqOptions = {}): Promise<Rabbitmq> {
  const peer = await startPeer('rabbitmq', async (folder) => {
    const [port, tlsPort, distributionPort, epmdPort] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ];
    const file = (name: string): string => join(folder, name);
    await writeFile(file('enabled_plugins'), '[rabbitmq_stomp].\n');
    const configuration = [
      'listeners.tcp = none',
      `stomp.listeners.tcp.1 = ${HOST}:${port}`,
      ...(certificates ? tlsConfiguration(tlsPort, certificates) : []),
      'disk_free_limit.absolute = 10MB',
      'log.console.level = info',
    ];
    await writeFile(file('rabbitmq.conf'), `${configuration.join('\n')}\n`);
    const env = {
      RABBITMQ_NODENAME: `regindexer-${port}@localhost`,
      RABBITMQ_DIST_PORT: String(distributionPort),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
      ERL_EPMD_PORT: String(epmdPort),
      ERL_EPMD_ADDRESS: HOST,
      RABBITMQ_CONF_ENV_FILE: file('rabbitmq-env.conf'),
      RABBITMQ_CONFIG_FILE: file('rabbitmq.conf'),
      RABBITMQ_ADVANCED_CONFIG_FILE: file('advanced.config'),
      RABBITMQ_GENERATED_CONFIG_DIR: file('config'),
      RABBITMQ_ENABLED_PLUGINS_FILE: file('enabled_plugins'),
      RABBITMQ_MNESIA_BASE: file('mnesia'),
      RABBITMQ_LOG_BASE: file('log'),
      RABBITMQ_LOGS: '-',
      // Makes the start script exec the server, instead of waiting for it.
      RUNNING_UNDER_SYSTEMD: 'true',
    };
    // Erlang's name server in the same process group: RabbitMQ would start it as a daemon that never ends.
    const args = ['-c', `epmd & exec ${SERVER}`];
    return { command: 'sh', args, env, port, tlsPort, answers: () => answersStomp(HOST, port) };
  });
  const { port, tlsPort } = peer.program;
  return Object.assign(peer, {
    host: HOST,
    port,
    url: `stomp://guest:guest@${HOST}:${port}/%2F`,
    tlsUrl: `stomps://guest:guest@${HOST}:${tlsPort}/%2F`,
  });
}

function tlsConfiguration(port: number, { authority, certificate, key }: Certificates): readonly string[] {
  return [
    `stomp.listeners.ssl.1 = ${HOST}:${port}`,
    `ssl_options.cacertfile = ${authority}`,
    `ssl_options.certfile = ${certificate}`,
    `ssl_options.keyfile = ${key}`,
    'ssl_options.verify = verify_peer',
    'ssl_options.fail_if_no_peer_cert = true',
  ];
}
