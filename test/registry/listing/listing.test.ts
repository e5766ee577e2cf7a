/** What holds for the lists of all kinds of APIs. */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { publicMessage } from '../../../src/registry/public-message.ts';
import type { RegistryError } from '../../../src/registry/registry-error.ts';
import { LISTING_APIS, LISTING_KINDS, type ListingKind } from '../../../src/registry/listing/listing-apis.ts';
import { temporaryFolder } from '../../config/config-file.ts';
import { allPages, playRegistry, readRegistry, sendJson } from '../http/play-registry.ts';
import { MADE_UP_APIS, playApi, readList, type Fault } from './made-up/made-up-apis.ts';
import { OWNER, TOKEN, WEAK_TOKEN } from './made-up/made-up-api.ts';

/** The beginning of all names in the registry. */
function prefixOf(kind: ListingKind): string {
  return kind === 'gitlab' ? 'acme/apps/' : 'acme/';
}

/** Names below the owner, too many for one page. */
const MANY = Array.from({ length: 250 }, (_, number) => `app-${String(number).padStart(3, '0')}`);

async function errorOf(list: Promise<unknown>): Promise<RegistryError> {
  try {
    await list;
  } catch (error) {
    return error as RegistryError;
  }
  throw new Error('the list was read');
}

for (const kind of LISTING_KINDS) {
  const { name } = LISTING_APIS[kind];
  const { listing } = MADE_UP_APIS[kind];
  const read = async (t: TestContext, fault?: Fault, names: readonly string[] = MANY) => {
    const api = await playApi(t, kind, { names }, fault);
    return { api, source: readList(t, kind, api.url) };
  };

  suite(kind, () => {
    test('all pages are read, each name once', async (t) => {
      const { api, source } = await read(t);
      const pages = await allPages(source.repositories());
      assert.deepEqual(
        pages.flat(),
        MANY.map((one) => prefixOf(kind) + one),
      );
      assert.ok(pages.length >= 3);
      assert.equal(source.requests, api.seen.length);
    });

    test('a full page that is the last, and no page at all', async (t) => {
      for (const count of [0, 1, 100, 200]) {
        const { source } = await read(t, undefined, MANY.slice(0, count));
        assert.equal((await allPages(source.repositories())).flat().length, count);
      }
    });

    test('names are made lower-case, may have slashes, and are left out if they are not valid', async (t) => {
      const { source } = await read(t, undefined, ['App', 'tools/Deep/sub', 'odd..name', 'space here', '-x', '']);
      assert.deepEqual((await allPages(source.repositories())).flat(), [
        `${prefixOf(kind)}app`,
        `${prefixOf(kind)}tools/deep/sub`,
      ]);
    });

    test('globs choose from the list, names stand beside it', async (t) => {
      const api = await playApi(t, kind, { names: ['flatpak-a', 'flatpak-b', 'other'] });
      const repositories = ['**/flatpak-*', 'elsewhere/app'];
      const source = readList(t, kind, api.url, {}, { repositories });
      assert.deepEqual((await allPages(source.repositories())).flat(), [
        'elsewhere/app',
        `${prefixOf(kind)}flatpak-a`,
        `${prefixOf(kind)}flatpak-b`,
      ]);
      assert.deepEqual(
        ['elsewhere/app', `${prefixOf(kind)}flatpak-c`, 'evil/flatpak-c', `${prefixOf(kind)}other`].map((one) =>
          source.covers(one),
        ),
        [true, true, false, false],
      );
    });

    test('without globs only repositories of the owner are covered', async (t) => {
      const { source } = await read(t);
      assert.deepEqual(
        [`${prefixOf(kind)}new`, `${prefixOf(kind)}new/sub`, 'acme-evil/app', 'evil/acme/app'].map((one) =>
          source.covers(one),
        ),
        [true, true, false, false],
      );
    });

    test('a token that is wrong, and one without the right, are told apart', async (t) => {
      const { url } = await playApi(t, kind, { names: MANY });
      const where = `registries."http://127.0.0.1:1".listing: `;
      const wrong = await errorOf(allPages(readList(t, kind, url, { token: 'wrong-token' }).repositories()));
      assert.equal(wrong.code, 'denied');
      assert.ok(wrong.message.startsWith(where), wrong.message);
      assert.match(wrong.message, new RegExp(`(GET|POST) ${url}/\\S*: answered 401 \\(.+\\)`));
      assert.ok(
        wrong.message.includes(`${name} refuses the token, which is wrong or has expired, expected `),
        wrong.message,
      );
      const weak = await errorOf(allPages(readList(t, kind, url, { token: WEAK_TOKEN }).repositories()));
      assert.equal(weak.code, 'denied');
      assert.match(weak.message, /answered 403 \(.+\)/);
      assert.ok(weak.message.includes(`${name} does not list these with the token, expected `), weak.message);
      for (const { message } of [wrong, weak]) {
        assert.ok(message.includes(LISTING_APIS[kind].expectedToken), message);
        assert.ok(!message.includes(WEAK_TOKEN) && !message.includes('wrong-token'), message);
      }
    });

    test('an owner that is not there is named; it is not a repository that is gone', async (t) => {
      const { url } = await playApi(t, kind, { names: MANY });
      const [key = ''] = LISTING_APIS[kind].ownerKeys;
      const source = readList(t, kind, url, { [key]: 'nobody' });
      const { code, message } = await errorOf(allPages(source.repositories()));
      assert.equal(code, 'no-catalog');
      assert.match(message, /answered 404/);
      assert.ok(message.includes(`${name} has no ${key} "nobody", or does not show it with the token`), message);
    });

    test('a 429 is waited for', async (t) => {
      let refused = 0;
      const { api, source } = await read(t, (request, response) => {
        if (request.method === 'POST' || refused === 3) return false;
        refused++;
        sendJson(response, { message: 'slow down' }, { 'retry-after': '0' }, 429);
        return true;
      });
      assert.equal((await allPages(source.repositories())).flat().length, MANY.length);
      assert.equal(refused, 3);
      assert.equal(source.requests, api.seen.length);
    });

    test('a list that fails in the middle is an error after the pages before', async (t) => {
      const faults: Readonly<Record<string, Fault>> = {
        unavailable: (_, response) => {
          response.writeHead(502).end();
          return true;
        },
        malformed: (_, response) => {
          sendJson(response, { message: 'Not Found' }, {}, 404);
          return true;
        },
        'malformed ': (_, response) => {
          sendJson(response, { message: 'not what was asked for' });
          return true;
        },
        denied: (_, response) => {
          sendJson(response, {}, {}, 403);
          return true;
        },
      };
      for (const [code, play] of Object.entries(faults)) {
        let asked = 0;
        const { source } = await read(t, (request, response) =>
          request.method === 'GET' && ++asked > 2 ? play(request, response) : false,
        );
        const found: string[] = [];
        const error = await errorOf(
          (async () => {
            for await (const page of source.repositories()) found.push(...page);
          })(),
        );
        assert.equal(error.code, code.trim());
        assert.ok(found.length > 0 && found.length < MANY.length);
      }
    });

    test('an answer that is not a list is malformed, and not an empty list', async (t) => {
      for (const body of [
        '{}',
        '[]x',
        'null',
        '{"results":null,"repositories":null}',
        '[{}]',
        '{"results":[7]}',
        '<html>',
      ]) {
        const { source } = await read(t, (request, response) => {
          if (request.method === 'POST') return false;
          response.writeHead(200, { 'content-type': 'application/json' }).end(body);
          return true;
        });
        const { code, message } = await errorOf(allPages(source.repositories()));
        assert.equal(code, 'malformed', body);
        assert.match(message, /^registries\."http:\/\/127\.0\.0\.1:1"\.listing: GET http:\S+: .*expected /);
      }
    });

    test('a redirect within the API is followed, and one to another origin is not', async (t) => {
      const elsewhere = await playRegistry(t, (_, response) => sendJson(response, []));
      const { source } = await read(t, (request, response) => {
        if (request.method === 'POST' || request.url.includes('moved')) return false;
        response.writeHead(302, { location: request.url + '&moved=yes' }).end();
        return true;
      });
      assert.equal((await allPages(source.repositories())).flat().length, MANY.length);
      const other = await read(t, (request, response) => {
        if (request.method === 'POST') return false;
        response.writeHead(301, { location: `${elsewhere.url}${request.url}` }).end();
        return true;
      });
      const { message } = await errorOf(allPages(other.source.repositories()));
      assert.ok(
        message.endsWith(
          `answered 301; it is at ${elsewhere.url}, where the token is not sent: set url to the API's own`,
        ),
        message,
      );
      assert.deepEqual(elsewhere.seen, []);
    });

    test('an API below a path, and a token in a file that is replaced', async (t) => {
      const file = join(temporaryFolder(t), 'token');
      await writeFile(file, `${TOKEN}\n`);
      const { url } = await playRegistry(t, (request, response) => {
        assert.ok(request.url.startsWith('/below/this/'));
        request.url = request.url.slice('/below/this'.length);
        MADE_UP_APIS[kind].answer(request, response, { names: ['app'] });
      });
      const source = readList(t, kind, `${url}/below/this`, { token: undefined, tokenFile: file });
      assert.deepEqual((await allPages(source.repositories())).flat(), [`${prefixOf(kind)}app`]);
      await writeFile(file, 'expired');
      assert.match((await errorOf(allPages(source.repositories()))).message, /refuses the token/);
      for (const [make, said] of [
        [() => writeFile(file, 'two words'), 'token_file does not hold a token'],
        [() => rm(file), 'token_file cannot be read'],
      ] as const) {
        await make();
        const error = await errorOf(allPages(source.repositories()));
        assert.ok(error.message.includes(`.listing: ${said}: `) && error.message.includes(file), error.message);
        assert.ok(publicMessage(error, source.id).endsWith(`.listing: ${said}; see the log for details`));
      }
      await writeFile(file, TOKEN);
      assert.deepEqual((await allPages(source.repositories())).flat(), [`${prefixOf(kind)}app`]);
    });

    test('requests are counted as those of the registry', async (t) => {
      const told: (string | undefined)[] = [];
      const { url, seen } = await playApi(t, kind, { names: MANY });
      const source = readList(t, kind, url, {}, { onRequest: ({ registry }) => told.push(registry) });
      await allPages(source.repositories());
      assert.deepEqual(
        told,
        seen.map(() => 'http://127.0.0.1:1'),
      );
    });

    test('is given up with the signal', async (t) => {
      const giveUp = new AbortController();
      const { source } = await read(t, (request) => {
        if (request.method === 'GET') giveUp.abort();
        return request.method === 'GET';
      });
      await assert.rejects(allPages(source.repositories(giveUp.signal)), { name: 'AbortError' });
    });

    test(`the token is only in requests to the API`, async (t) => {
      const headers: string[] = [];
      const registry = await playRegistry(t, (request, response) => {
        headers.push(JSON.stringify(request.headers));
        sendJson(response, { tags: [] });
      });
      const { url } = await playApi(t, kind, { names: ['app'] });
      const source = readRegistry(t, registry.url, { listing: { ...listing, url, token: TOKEN } });
      const [repository = ''] = (await allPages(source.repositories())).flat();
      await source.tags(repository);
      assert.equal(headers.length, 1);
      assert.ok(!headers[0]?.includes(TOKEN));
    });
  });
}

for (const kind of ['docker-hub', 'quay', 'harbor'] as const) {
  test(`${kind} shows private repositories only with a token`, async (t) => {
    const { url } = await playApi(t, kind, { names: ['open', 'private'] });
    const list = async (token: string | undefined) =>
      (
        await allPages(
          readList(t, kind, url, { token, username: token && MADE_UP_APIS[kind].listing.username }).repositories(),
        )
      ).flat();
    assert.deepEqual(await list(undefined), ['acme/open']);
    assert.deepEqual(await list(TOKEN), ['acme/open', 'acme/private']);
  });
}

for (const kind of ['harbor', 'forgejo', 'gitea'] as const) {
  test(`${kind} takes the login for the registry at the same origin, and no other`, async (t) => {
    const names = ['app', 'private'];
    const credentials = { username: kind === 'harbor' ? 'robot$jane' : 'jane', password: TOKEN };
    const seen: (string | undefined)[] = [];
    const { url } = await playApi(t, kind, { names }, (request) => {
      seen.push(request.headers.authorization);
      return false;
    });
    const read = (registry: string, options = {}) =>
      readRegistry(t, registry, {
        listing: { ...MADE_UP_APIS[kind].listing, username: undefined, url },
        credentials,
        ...options,
      });
    assert.deepEqual((await allPages(read(url).repositories())).flat(), ['acme/app', 'acme/private']);
    assert.match(seen.at(-1) ?? '', /^Basic /);
    await allPages(read('http://127.0.0.1:1').repositories());
    assert.equal(seen.at(-1), undefined);
    const { message } = await errorOf(
      allPages(read(url, { credentials: { ...credentials, password: 'wrong' } }).repositories()),
    );
    assert.match(message, /refuses the login for the registry, which is wrong or has expired/);
  });
}

test('GitHub is asked for a user where there is no such organisation, from then on at once', async (t) => {
  const { url, seen } = await playApi(t, 'ghcr', { names: ['App'] });
  const source = readList(t, 'ghcr', url, { owner: 'jane' });
  for (const _ of [1, 2]) assert.deepEqual((await allPages(source.repositories())).flat(), ['jane/app']);
  const paths = seen.map((request) => request.replace(/\?.*/, ''));
  assert.deepEqual(paths, ['GET /orgs/jane/packages', 'GET /users/jane/packages', 'GET /users/jane/packages']);
});

test('GitLab lists a project, whose own repository has its path', async (t) => {
  const { url } = await playApi(t, 'gitlab', { names: ['app', 'app/tool', 'other'] });
  const source = readList(t, 'gitlab', url, { group: undefined, project: `${OWNER}/apps/app` });
  assert.deepEqual((await allPages(source.repositories())).flat(), ['acme/apps/app', 'acme/apps/app/tool']);
  assert.deepEqual([source.covers('acme/apps/app'), source.covers('acme/apps/other')], [true, false]);
});

test('the user of a token of Docker Hub is the namespace unless another is given', async (t) => {
  const bodies: unknown[] = [];
  const { url } = await playApi(t, 'docker-hub', { names: [] }, (request, response) => {
    if (request.method !== 'POST') return false;
    request.on('data', (chunk: Buffer) => bodies.push(JSON.parse(chunk.toString())));
    request.on('end', () => sendJson(response, { access_token: 'not a token' }));
    return true;
  });
  const { code, message } = await errorOf(
    allPages(readList(t, 'docker-hub', url, { username: undefined }).repositories()),
  );
  assert.deepEqual(bodies, [{ identifier: OWNER, secret: TOKEN }]);
  assert.equal(code, 'malformed');
  assert.ok(!message.includes('not a token'), message);
});

test('links that lead in a loop, and pages that repeat, are errors', async (t) => {
  const loop = await playApi(t, 'ghcr', { names: [] }, (request, response) => {
    const other = request.url.includes('page=2') ? 3 : 2;
    sendJson(response, [{ name: `a${other}` }], { link: `<https://x/?page=${other}>; rel="next"` });
    return true;
  });
  assert.match((await errorOf(allPages(readList(t, 'ghcr', loop.url).repositories()))).message, /lead in a loop/);
  const same = await playApi(t, 'harbor', { names: [] }, (_, response) => {
    sendJson(response, [{ name: 'acme/a' }], { 'x-total-count': '7' });
    return true;
  });
  const error = await errorOf(allPages(readList(t, 'harbor', same.url).repositories()));
  assert.match(error.message, /the next page is the same again/);
  assert.equal(same.seen.length, 2);
});

test('a full page of GitHub without a link is not believed to be the last', async (t) => {
  const { url, seen } = await playApi(t, 'ghcr', { names: [] }, (request, response) => {
    const start = request.url.includes('page=2') ? 100 : request.url.includes('page=3') ? 200 : 0;
    sendJson(
      response,
      MANY.slice(start, start + 100).map((name) => ({ name })),
    );
    return true;
  });
  assert.equal((await allPages(readList(t, 'ghcr', url).repositories())).flat().length, 250);
  assert.equal(seen.length, 3);
});

test('a token is needed, and the error says what it must be', async (t) => {
  const { url } = await playApi(t, 'ghcr', { names: [] });
  const { message } = await errorOf(allPages(readList(t, 'ghcr', url, { token: undefined }).repositories()));
  assert.ok(
    message.endsWith(
      'answered 401 (Requires authentication); GitHub needs a token for this, expected a classic personal access token with the scope read:packages',
    ),
    message,
  );
});
