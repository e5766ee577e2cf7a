/** Debian's nginx, as a proxy in front of the service or as a file server. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { takesConnections } from './answering.ts';
import { freePort } from './free-port.ts';
import { startPeer, type Peer } from './peer.ts';

export interface NginxOptions {
  /** Directives of the `server` block, besides `listen`. */
  readonly server: string;
  /** Directives of the `http` block, besides that server: upstreams, caches, logs. */
  readonly http?: string;
  /** Serves HTTPS with this certificate and key (PEM files). */
  readonly tls?: { readonly certificate: string; readonly key: string };
  readonly workers?: number;
  /** A free one unless given. */
  readonly port?: number;
}

export interface Nginx extends Peer {
  /** Without a last `/`. */
  readonly url: string;
  readonly port: number;
}

/** Starts nginx; relative paths of its configuration are in {@link Peer.folder}. */
export async function startNginx({ server, http = '', tls, workers = 1, port: given }: NginxOptions): Promise<Nginx> {
  const peer = await startPeer('nginx', async (folder) => {
    const port = given ?? (await freePort());
    const configuration = join(folder, 'nginx.conf');
    await writeFile(
      configuration,
      `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes ${workers};
pid nginx.pid;
error_log stderr notice;
events { worker_connections 4096; }
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`).join(' ')}
  ${http}
  server {
    listen 127.0.0.1:${port}${tls ? ' ssl http2' : ''};
    ${tls ? `ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};` : ''}
    ${server}
  }
}
`,
    );
    const args = ['-p', folder, '-c', configuration, '-e', 'stderr'];
    return { command: 'nginx', args, port, answers: () => takesConnections({ host: '127.0.0.1', port }) };
  });
  const { port } = peer.program;
  return Object.assign(peer, { url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`, port });
}
