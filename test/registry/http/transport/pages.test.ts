import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { nextLink } from '../../../../src/registry/http/transport/pages.ts';
import { allPages, playRegistry, readRegistry, sendJson, type Played } from '../play-registry.ts';

test('a loop of links is an error', async (t) => {
  const { url, seen } = await playRegistry(t, (request, response) => {
    const next = request.url.includes('last=b') ? 'a' : 'b';
    sendJson(response, { tags: [next] }, { link: `</v2/a/tags/list?last=${next}>; rel="next"` });
  });
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'malformed', message: /in a loop/ });
  assert.equal(seen.length, 3);
});

test('of a link only the query counts, at the own origin and path', async (t) => {
  const elsewhere = await playRegistry(t, (_request, response) => sendJson(response, { tags: ['evil'] }));
  for (const target of [
    `${elsewhere.url}/v2/a/tags/list`,
    'https://registry.internal/v2/a/tags/list',
    '/v2/a/tags/list',
    '/inner/v2/a/tags/list',
    '//other/',
    '',
  ]) {
    const { url, seen } = await playRegistry(t, (request, response) => {
      if (request.url.includes('last')) sendJson(response, { tags: ['b'] });
      else sendJson(response, { tags: ['a'] }, { link: `<${target}?last=a&n=1>; rel="next"` });
    });
    assert.deepEqual(await readRegistry(t, `${url}/prefix`).tags('a'), ['a', 'b'], target);
    assert.deepEqual(seen, ['GET /prefix/v2/a/tags/list?n=1000', 'GET /prefix/v2/a/tags/list?last=a&n=1']);
  }
  assert.deepEqual(elsewhere.seen, []);
});

test('a link without a query is an error', async (t) => {
  const { url } = await playRegistry(t, (_request, response) =>
    sendJson(response, { tags: ['a'] }, { link: '</v2/a/tags/list>; rel="next"' }),
  );
  await assert.rejects(readRegistry(t, url).tags('a'), {
    code: 'malformed',
    message: /\/v2\/a\/tags\/list: the link to the next page has no query/,
  });
});

test('a registry that refuses the page size is asked without one from then on', async (t) => {
  const { url, seen } = await playRegistry(t, (request, response) => {
    const key = request.url.includes('_catalog') ? 'repositories' : 'tags';
    if (request.url.includes('n=1000'))
      sendJson(response, { errors: [{ code: 'PAGINATION_NUMBER_INVALID' }] }, {}, 400);
    else if (request.url.includes('last')) sendJson(response, { [key]: ['b'] });
    else sendJson(response, { [key]: ['a'] }, { link: `<${request.url}?last=a&n=1>; rel="next"` });
  });
  const source = readRegistry(t, url);
  for (let time = 0; time < 2; time++) {
    assert.deepEqual(await allPages(source.repositories()), [['a'], ['b']]);
    assert.deepEqual(await source.tags('a'), ['a', 'b']);
  }
  assert.deepEqual(
    seen.map((request) => request.replace(/^GET \/v2\/(a\/tags\/)?/, '')),
    [
      '_catalog?n=1000',
      '_catalog',
      '_catalog?last=a&n=1',
      'list?n=1000',
      'list',
      'list?last=a&n=1',
      '_catalog',
      '_catalog?last=a&n=1',
      'list',
      'list?last=a&n=1',
    ],
  );
});

/** A registry with so many tags, which returns at most `limit` of them at once, without a link. */
function cutLists(t: TestContext, count: number, limit: number): Promise<Played> {
  const tags = Array.from({ length: count }, (_, number) => `t${String(number).padStart(5, '0')}`);
  return playRegistry(t, (request, response) => {
    const last = new URL(request.url, 'http://registry').searchParams.get('last') ?? '';
    sendJson(response, { tags: tags.filter((tag) => tag > last).slice(0, limit) });
  });
}

test('a list that ends at a round number without a link is continued until nothing new comes', async (t) => {
  for (const [count, limit, requests] of [
    [250, 100, 4],
    [200, 100, 3],
    [2500, 1000, 4],
    [60, 25, 4],
    [35, 10, 5],
    [1000, 5000, 2],
    [999, 5000, 1],
    [7, 10, 1],
  ] as const) {
    const { url, seen } = await cutLists(t, count, limit);
    assert.equal((await readRegistry(t, url).tags('a')).length, count);
    assert.equal(seen.length, requests, `${count} by ${limit}`);
  }
});

test('a list is not continued if a longer one was complete, or if it has links', async (t) => {
  const { url, seen } = await playRegistry(t, (request, response) => {
    if (request.url.includes('last')) sendJson(response, { tags: ['b'] });
    else if (request.url.includes('/linked/'))
      sendJson(response, { tags: numbered(10) }, { link: '<list?last=a>; rel="next"' });
    else sendJson(response, { tags: numbered(request.url.includes('/long/') ? 57 : 50) });
  });
  const source = readRegistry(t, url);
  for (const repository of ['linked', 'long', 'short']) await source.tags(repository);
  assert.deepEqual(
    seen.map((request) => request.split('?')[0]),
    ['linked', 'linked', 'long', 'short'].map((repository) => `GET /v2/${repository}/tags/list`),
  );
});

test('a list is complete if the registry does not support `last`', async (t) => {
  for (const status of [200, 400, 404, 405]) {
    const { url, seen } = await playRegistry(t, (request, response) =>
      sendJson(response, { tags: numbered(100) }, {}, request.url.includes('last') ? status : 200),
    );
    assert.equal((await readRegistry(t, url).tags('a')).length, 100);
    assert.deepEqual(seen.at(-1), 'GET /v2/a/tags/list?n=1000&last=t99');
    assert.equal(seen.length, 2);
  }
});

test('a list that fails where it is continued is not complete', async (t) => {
  const { url } = await playRegistry(t, (request, response) =>
    sendJson(response, { tags: numbered(100) }, {}, request.url.includes('last') ? 500 : 200),
  );
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'unavailable' });
});

function numbered(count: number): readonly string[] {
  return Array.from({ length: count }, (_, number) => `t${number}`);
}

test('a repository with more than 100000 tags is named, in one page or in many', async (t) => {
  let page = 0;
  const { url } = await playRegistry(t, (request, response) => {
    if (request.url.includes('/one/')) response.end(JSON.stringify({ tags: Array(1_000_000).fill('latest') }));
    else
      response
        .writeHead(200, { link: `</v2/many/tags/list?page=${++page}>; rel="next"` })
        .end(JSON.stringify({ tags: Array(10_000).fill(0) }));
  });
  const source = readRegistry(t, url);
  await assert.rejects(source.tags('one'), {
    code: 'too-large',
    message: /\/v2\/one\/tags\/list: lists more than 100000 tags/,
  });
  await assert.rejects(source.tags('many'), {
    code: 'too-large',
    message: /\/v2\/many\/tags\/list: lists more than 100000 tags/,
  });
  assert.equal(page, 11);
});

test('100000 tags are read', async (t) => {
  const body = JSON.stringify({ tags: ['latest', ...Array(99_999).fill(0)] });
  const { url } = await playRegistry(t, (_request, response) => response.end(body));
  assert.deepEqual(await readRegistry(t, url).tags('a'), ['latest']);
});

test('a page that is too large is an error long before its end', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => {
    response.write('{"tags": ["');
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 'x')));
      response.once('drain', more);
    };
    more();
  });
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'too-large', message: /larger than 16777216 bytes/ });
});

test('the link to the next page is found in Link', () => {
  const headers = [
    '</v2/_catalog?last=b&n=2>; rel="next"',
    '</v2/_catalog?last=b&n=2>; rel=next',
    '</v2/_catalog?last=b&n=2>;rel="NEXT"',
    '</v2/_catalog?last=b&n=2> ; title="a, b; rel=prev" ; rel = "prev next"',
    '</first>; rel="first", </v2/_catalog?last=b&n=2>; rel="next"',
    ' ,, </v2/_catalog?last=b&n=2>; crossorigin; rel="next"',
    '</v2/_catalog?last=b&n=2>; rel=next; rel=prev',
    '</v2/_catalog?last=b&n=2>',
    '</v2/_catalog?last=b&n=2>; title="next page"',
    '</first>; rel=first, </v2/_catalog?last=b&n=2>, </other>',
    '</without>, </v2/_catalog?last=b&n=2>; rel=next',
  ];
  for (const header of headers) assert.equal(nextLink(header), '/v2/_catalog?last=b&n=2', header);
});

test('a Link header without a next page gives none', () => {
  for (const header of [
    undefined,
    '',
    'nonsense',
    '</a>; rel=prev',
    '</a>; rel="nextish"',
    '</a; rel=next',
    '</a>; rel=""',
  ]) {
    assert.equal(nextLink(header), undefined, header);
  }
});

test('any Link header gives a string or undefined, and soon', () => {
  const text = fc.oneof(
    fc.string(),
    fc
      .array(fc.constantFrom('<', '>', ';', ',', '"', '\\', 'rel', '=', 'next', ' ', '/v2'))
      .map((parts) => parts.join('')),
  );
  fc.assert(fc.property(text, (header) => ['string', 'undefined'].includes(typeof nextLink(header))));
  for (const header of [
    '<a>; '.repeat(10_000),
    '<'.repeat(16_000),
    `<a>${';'.repeat(16_000)}`,
    `<a>; a="${'\\'.repeat(16_000)}`,
    ' '.repeat(16_000),
  ]) {
    const started = performance.now();
    nextLink(header);
    assert.ok(performance.now() - started < 500);
  }
});
