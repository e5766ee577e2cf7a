/** The faults that a registry, or what is between, can play on its clients: each spoils the answer to one request. */
import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';

/** What is asked for. A list is one of tags. */
export type RequestKind = 'catalog' | 'list' | 'manifest' | 'manifest head' | 'blob';

/** The right answer, which a fault spoils. */
export interface RightAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface Fault {
  readonly kinds: readonly RequestKind[];
  /** It takes the time of a whole request, or that of many in work. */
  readonly slow?: boolean;
  /**
   * Answers.
   * @param path of the request, with its query
   */
  readonly play: (response: ServerResponse, right: RightAnswer, path: string) => void;
}

const LISTS: readonly RequestKind[] = ['catalog', 'list'];
const CONTENT: readonly RequestKind[] = ['manifest', 'blob'];
const BODIES: readonly RequestKind[] = [...LISTS, ...CONTENT];
const ALL: readonly RequestKind[] = [...BODIES, 'manifest head'];

/** What a redirect loop adds to a path. */
export const LOOPING = /[?&]loop=[ab]$/;

const OTHER_DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;
const BOMB = gzipSync(Buffer.alloc(64 * 1024 * 1024));
const MILLION_TAGS = JSON.stringify({
  name: 'many',
  tags: Array.from({ length: 1_000_000 }, (_, number) => `t${number}`),
});

/** By what happens. A 404 is none of them: it is the registry's word. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  'a connection that breaks': { kinds: ALL, play: (response) => response.destroy() },
  'a body that stops half-way': {
    kinds: BODIES,
    play: (response, { status, headers, body }) => {
      response.writeHead(status, { ...headers, 'content-length': body.length });
      response.write(body.subarray(0, body.length / 2), () => response.destroy());
    },
  },
  'chunks that stop half-way': {
    kinds: BODIES,
    play: (response, { status, headers, body }) => {
      const { 'content-length': _length, ...others } = headers;
      response.writeHead(status, others);
      response.write(body.subarray(0, body.length / 2), () => response.destroy());
    },
  },
  'a body that is longer than announced': {
    kinds: BODIES,
    play: (response, { body }) =>
      sendBytes(
        response,
        `HTTP/1.1 200 OK\r\ncontent-length: ${Math.floor(body.length / 2)}\r\n\r\n${body.toString('latin1')}`,
      ),
  },
  'no HTTP': { kinds: ALL, play: (response) => sendBytes(response, 'SSH-2.0-OpenSSH_9.2\r\n') },
  'no JSON': {
    kinds: BODIES,
    play: (response, { headers }) => sendBody(response, headers, '<html>Please log in</html>'),
  },
  nothing: { kinds: BODIES, play: (response, { headers }) => sendBody(response, headers, '') },
  'JSON of another shape': {
    kinds: BODIES,
    play: (response, { headers }) =>
      sendBody(response, headers, '{"repositories": {"a": 1}, "tags": "latest", "schemaVersion": "2", "config": []}'),
  },
  'an error with status 200': {
    kinds: BODIES,
    play: (response, { headers }) => sendBody(response, headers, '{"errors": [{"code": "FAULT"}]}'),
  },
  'an array': { kinds: BODIES, play: (response, { headers }) => sendBody(response, headers, '[1, 2, 3]') },
  'a wrong digest header': {
    kinds: ['manifest', 'manifest head'],
    play: (response, { status, headers, body }) =>
      response.writeHead(status, { ...headers, 'docker-content-digest': OTHER_DIGEST }).end(body),
  },
  'an invalid digest header': {
    kinds: ['manifest', 'manifest head'],
    play: (response, { status, headers, body }) =>
      response.writeHead(status, { ...headers, 'docker-content-digest': 'sha256:nonsense' }).end(body),
  },
  'no digest header': {
    kinds: ['manifest', 'manifest head'],
    play: (response, { status, headers, body }) => {
      const { 'docker-content-digest': _digest, ...others } = headers;
      response.writeHead(status, others).end(body);
    },
  },
  'a byte that is another': {
    kinds: CONTENT,
    play: (response, { status, headers, body }) => {
      const spoilt = Buffer.from(body);
      spoilt.writeUInt8((spoilt[body.length >> 1] ?? 0) ^ 1, body.length >> 1);
      response.writeHead(status, headers).end(spoilt);
    },
  },
  'a page link that loops': {
    kinds: LISTS,
    play: (response, { status, headers, body }, path) =>
      response.writeHead(status, { ...headers, link: `<${path}>; rel="next"` }).end(body),
  },
  'a page link to another host': {
    kinds: LISTS,
    play: (response, { status, headers, body }) =>
      response.writeHead(status, { ...headers, link: '<http://127.0.0.1:1/v2/_catalog>; rel="next"' }).end(body),
  },
  'a redirect loop': {
    kinds: ALL,
    play: (response, _right, path) => {
      const plain = path.replace(LOOPING, '');
      response
        .writeHead(307, {
          location: `${plain}${plain.includes('?') ? '&' : '?'}loop=${path.endsWith('loop=a') ? 'b' : 'a'}`,
        })
        .end();
    },
  },
  'a redirect to nowhere': {
    kinds: ALL,
    play: (response) => response.writeHead(307, { location: 'http://127.0.0.1:1/blob' }).end(),
  },
  'a gzip bomb': {
    slow: true,
    kinds: BODIES,
    play: (response, { headers }) => sendBody(response, { ...headers, 'content-encoding': 'gzip' }, BOMB),
  },
  'a header of a mebibyte': {
    slow: true,
    kinds: ALL,
    play: (response) =>
      sendBytes(response, `HTTP/1.1 200 OK\r\nx-long: ${'x'.repeat(1024 * 1024)}\r\ncontent-length: 2\r\n\r\n{}`),
  },
  'a million tags': {
    slow: true,
    kinds: ['list'],
    play: (response, { headers }) => sendBody(response, headers, MILLION_TAGS),
  },
  'a body without end': {
    kinds: BODIES,
    slow: true,
    play: (response) => {
      response.writeHead(200);
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(256 * 1024, ' ')));
        response.once('drain', more);
      };
      more();
    },
  },
  'an answer that drips': {
    kinds: BODIES,
    slow: true,
    play: (response) => {
      response.writeHead(200).write('{');
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(drip));
    },
  },
  silence: { kinds: ALL, slow: true, play: () => {} },
  'an empty catalog': {
    kinds: ['catalog'],
    play: (response, { headers }) => sendBody(response, headers, '{"repositories": []}'),
  },
  'a catalog cut short': {
    kinds: ['catalog'],
    play: (response, { headers, body }) => {
      const { repositories } = JSON.parse(body.toString()) as { repositories: readonly string[] };
      sendBody(response, headers, JSON.stringify({ repositories: repositories.slice(0, repositories.length / 3) }));
    },
  },
  ...Object.fromEntries(
    [400, 401, 403, 408, 425, 429, 500, 502, 503, 504].map((status) => [
      `status ${status}`,
      {
        kinds: ALL,
        play: (response: ServerResponse) =>
          response
            .writeHead(status, { 'content-type': 'application/json', 'retry-after': retryAfter(status) })
            .end('{"errors": [{"code": "FAULT"}]}'),
      },
    ]),
  ),
};

/** Both forms of the header, neither of which asks for a pause. */
function retryAfter(status: number): string {
  return status === 429 ? '0' : new Date(0).toUTCString();
}

function sendBody(response: ServerResponse, headers: Readonly<Record<string, string>>, body: string | Buffer): void {
  response.writeHead(200, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
}

/** What no HTTP server would send. */
function sendBytes(response: ServerResponse, text: string): void {
  response.socket?.end(Buffer.from(text, 'latin1'));
}
