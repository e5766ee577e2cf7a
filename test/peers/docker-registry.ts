/** Debian's docker-registry, with a file system for storage. */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { answersHttp } from './answering.ts';
import { freePort } from './free-port.ts';
import { startPeer, type Peer } from './peer.ts';
import { runCommand } from './run-command.ts';

export interface DockerRegistryOptions {
  /** URL for its notifications, their bearer token, and the events to leave out (`ignore` of an endpoint). */
  readonly notifications?: { readonly url: string; readonly token?: string; readonly ignore?: object };
  /** Requires these Basic credentials. */
  readonly login?: { readonly username: string; readonly password: string };
  /** Speaks HTTPS with this certificate and key (PEM files). */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /**
   * Sections of its configuration that are added or replaced, such as `log`, `proxy`, `auth`; keys of `http` are
   * merged.
   */
  readonly sections?: Readonly<Record<string, unknown>> & { readonly http?: object };
}

export interface DockerRegistry extends Peer {
  /** Without a last `/`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
}

/** Starts an empty registry; its access log is part of {@link Peer.log}. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const { notifications, login, tls, sections: { http, ...sections } = {} } = options;
  const scheme = tls ? 'https' : 'http';
  const peer = await startPeer('docker-registry', async (folder) => {
    const port = await freePort();
    const htpasswd = join(folder, 'htpasswd');
    if (login) await writeFile(htpasswd, `${login.username}:${await bcrypt(login.password)}\n`);
    const configuration = {
      version: '0.1',
      log: { level: 'warn' },
      storage: { filesystem: { rootdirectory: join(folder, 'storage') }, delete: { enabled: true } },
      http: {
        addr: `127.0.0.1:${port}`,
        secret: randomBytes(16).toString('hex'),
        ...(tls && { tls: { certificate: tls.certificate, key: tls.key } }),
        ...http,
      },
      ...(login && { auth: { htpasswd: { realm: 'test', path: htpasswd } } }),
      ...(notifications && { notifications: { endpoints: [endpoint(notifications)] } }),
      ...sections,
    };
    const file = join(folder, 'config.yml');
    // JSON is also YAML.
    await writeFile(file, JSON.stringify(configuration));
    return {
      command: 'docker-registry',
      args: ['serve', file],
      port,
      answers: () => answersHttp(`${scheme}://127.0.0.1:${port}/v2/`),
    };
  });
  const { port } = peer.program;
  return Object.assign(peer, { url: `${scheme}://127.0.0.1:${port}`, host: `127.0.0.1:${port}`, port });
}

function endpoint({ url, token, ignore }: NonNullable<DockerRegistryOptions['notifications']>): object {
  const headers = token === undefined ? {} : { Authorization: [`Bearer ${token}`] };
  return { name: 'index', url, timeout: '1s', threshold: 3, backoff: '1s', headers, ...(ignore && { ignore }) };
}

/**
 * Hashes a password with bcrypt, the only hash that docker-registry takes; Debian's C library has it, and Perl calls
 * that.
 */
async function bcrypt(password: string): Promise<string> {
  const salt = randomBytes(11).toString('hex');
  return runCommand('perl', ['-e', 'print crypt($ARGV[0], q($2b$05$) . $ARGV[1])', password, salt], { env: {} });
}
