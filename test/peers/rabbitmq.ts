/** Debian's RabbitMQ, with STOMP or as Fedora has it; several can run in parallel with the machine's own. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { answersAmqp, type AmqpBroker } from './amqp.ts';
import type { Certificates } from './certificates.ts';
import { freePort } from './free-port.ts';
import { startPeer, type Peer, type PeerProgram } from './peer.ts';
import { answersStomp, type Broker } from './stomp.ts';

const HOST = '127.0.0.1';
// /usr/sbin/rabbitmq-server is a wrapper that changes to the user rabbitmq and logs elsewhere.
const SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server';

export interface RabbitmqOptions {
  /** Enables STOMP over TLS too, with client certificates. */
  readonly certificates?: Certificates;
}

export interface Rabbitmq extends Broker, AmqpBroker {
  /** The URL over TLS, if it has certificates. */
  readonly tlsUrl: string;
}

/** Starts an empty broker, in about 7 s. Durable queues and persistent messages survive a restart. */
export async function startRabbitmq({ certificates }: RabbitmqOptions = {}): Promise<Rabbitmq> {
  const peer = await startNode(async () => {
    const [port, tlsPort, amqpPort] = [await freePort(), await freePort(), await freePort()];
    return {
      port,
      tlsPort,
      amqpPort,
      plugin: 'rabbitmq_stomp',
      configuration: [
        `listeners.tcp.1 = ${HOST}:${amqpPort}`,
        `stomp.listeners.tcp.1 = ${HOST}:${port}`,
        ...(certificates ? [`stomp.listeners.ssl.1 = ${HOST}:${tlsPort}`, ...tlsConfiguration(certificates)] : []),
      ],
      answers: () => answersStomp(HOST, port),
    };
  });
  const { port, tlsPort, amqpPort } = peer.program;
  return Object.assign(peer, {
    host: HOST,
    port,
    url: `stomp://guest:guest@${HOST}:${port}/%2F`,
    tlsUrl: `stomps://guest:guest@${HOST}:${tlsPort}/%2F`,
    amqpUrl: `amqp://guest:guest@${HOST}:${amqpPort}/%2F`,
  });
}

const VIRTUAL_HOST = '/public_pubsub';
/** The common names of {@link Certificates.clientCertificate}, and of the server's own, which publishes. */
const [READER, PUBLISHER] = ['regindexer test client', 'localhost'];
const UUID = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

/**
 * Starts a broker as Fedora's: AMQPS alone, logins with client certificates alone, a virtual host where clients may
 * read everything, and declare only queues that are named by a UUID.
 */
export async function startFedoraRabbitmq(certificates: Certificates): Promise<Peer & Required<AmqpBroker>> {
  const peer = await startNode(async (folder) => {
    const amqpPort = await freePort();
    const definitions = {
      rabbit_version: '3.10.8',
      users: [READER, PUBLISHER].map((name) => ({ name, password_hash: '', tags: '' })),
      vhosts: [{ name: VIRTUAL_HOST }],
      permissions: Object.entries({ [READER]: UUID, [PUBLISHER]: '.*' }).map(([user, queues]) => ({
        user,
        vhost: VIRTUAL_HOST,
        configure: queues,
        write: queues,
        read: '.*',
      })),
    };
    await writeFile(join(folder, 'definitions.json'), JSON.stringify(definitions));
    return {
      amqpPort,
      plugin: 'rabbitmq_auth_mechanism_ssl',
      configuration: [
        'listeners.tcp = none',
        `listeners.ssl.1 = ${HOST}:${amqpPort}`,
        ...tlsConfiguration(certificates),
        'auth_mechanisms.1 = EXTERNAL',
        'ssl_cert_login_from = common_name',
        `load_definitions = ${join(folder, 'definitions.json')}`,
      ],
      answers: () => answersAmqp({ amqpUrl: fedoraUrl(amqpPort), certificates }),
    };
  });
  return Object.assign(peer, { amqpUrl: fedoraUrl(peer.program.amqpPort), certificates });
}

function fedoraUrl(port: number): string {
  return `amqps://${HOST}:${port}/${encodeURIComponent(VIRTUAL_HOST)}`;
}

/** What is special about a broker. */
interface NodeOptions extends Pick<PeerProgram, 'answers'> {
  readonly amqpPort: number;
  readonly plugin: string;
  readonly configuration: readonly string[];
}

function startNode<Options extends NodeOptions>(
  prepare: (folder: string) => Promise<Options>,
): Promise<Peer<PeerProgram & Options>> {
  return startPeer('rabbitmq', async (folder) => {
    const options = await prepare(folder);
    const [distributionPort, epmdPort] = [await freePort(), await freePort()];
    const file = (name: string): string => join(folder, name);
    await writeFile(file('enabled_plugins'), `[${options.plugin}].\n`);
    const configuration = [...options.configuration, 'disk_free_limit.absolute = 10MB', 'log.console.level = info'];
    await writeFile(file('rabbitmq.conf'), `${configuration.join('\n')}\n`);
    const env = {
      RABBITMQ_NODENAME: `regindexer-${options.amqpPort}@localhost`,
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
    return { command: 'sh', args, env, ...options };
  });
}

function tlsConfiguration({ authority, certificate, key }: Certificates): readonly string[] {
  return [
    `ssl_options.cacertfile = ${authority}`,
    `ssl_options.certfile = ${certificate}`,
    `ssl_options.keyfile = ${key}`,
    'ssl_options.verify = verify_peer',
    'ssl_options.fail_if_no_peer_cert = true',
  ];
}
