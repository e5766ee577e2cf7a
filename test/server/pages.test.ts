import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { HtmlValidate } from 'html-validate';
import { TestState } from '../indexing/test-state.ts';
import { SCREENSHOT_APPS } from '../dev/screenshot-apps.ts';
import { flatpakLabels, type FlatpakApp } from '../sources/flatpak-labels.ts';
import { TestServer } from './test-server.ts';

const HOSTILE = `"><script>alert(1)</script><img src=x onerror=alert(1)>'&amp;`;
const validator = new HtmlValidate({
  extends: ['html-validate:recommended'],
  rules: {
    'doctype-style': ['error', { style: 'lowercase' }],
    'void-style': ['error', { style: 'selfclose' }],
    'aria-label-misuse': ['error', { allowAnyNamable: true }],
    'no-trailing-whitespace': 'off',
    'long-title': 'off',
    // Older browsers know the roles, not the elements.
    'prefer-native-element': 'off',
  },
});

/** Serves apps, with a title that has markup in it. */
async function serve(t: TestContext, apps: readonly FlatpakApp[], title = 'Our apps', gpgKey?: string) {
  const state = await TestState.open(t);
  const push = (app: FlatpakApp): void =>
    void state.registry.pushImage(app.id.toLowerCase(), 'latest', { labels: flatpakLabels(app) });
  for (const app of apps) push(app);
  const server = await TestServer.create(t, state, {
    description: {
      baseUrl: 'https://apps.example.org',
      indexes: [
        {
          name: 'apps',
          title,
          comment: title,
          description: title,
          remoteName: 'apps',
          gpgKey,
          signatures: gpgKey !== undefined,
        },
      ],
    },
  });
  await server.rebuild();
  const page = async (url: string, headers: Readonly<Record<string, string>> = {}): Promise<string> => {
    const answer = await server.fastify.inject({ url, headers: { accept: 'text/html', ...headers } });
    assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8', url);
    return answer.payload;
  };
  return { server, page, push };
}

function numbered(number: number): FlatpakApp {
  return {
    id: `org.example.App${number}`,
    name: `App ${number}`,
    categories: number % 2 === 0 ? ['Audio', 'AudioVideo'] : ['Game', 'Utility'],
    timestamp: 1_700_000_000 + number,
  };
}

/** Names on the cards below a heading. */
function namesBelow(heading: string, html: string): readonly string[] {
  const [, after = ''] = html.split(new RegExp(`<h[12][^>]*>${heading}`));
  const [own = ''] = after.split('<h2');
  return [...own.matchAll(/<a href="[^"]*" dir="auto">([^<]*)</g)].map(([, name = '']) => name);
}

suite('pages', () => {
  test('they are valid HTML, whatever an app says', async (t) => {
    const apps = [
      ...SCREENSHOT_APPS.map(({ icon: _icon, screenshots: _screenshots, ...app }) => app),
      {
        id: 'org.example.Hostile',
        name: HOSTILE,
        summary: HOSTILE,
        developer: HOSTILE,
        keywords: [HOSTILE],
        endOfLife: HOSTILE,
        replacedBy: `app/${HOSTILE}/x86_64/stable`,
      },
    ];
    const { page } = await serve(t, apps, HOSTILE);
    const paths = ['/', '/?q=x', '/?view=status', '/apps/all', '/apps/games', '/apps/runtimes', '/apps/none'];
    for (const path of [...paths, ...apps.map(({ id }) => `/apps/${id}`)]) {
      const html = await page(path);
      const { results } = await validator.validateString(html);
      assert.deepEqual(
        results.flatMap(({ messages }) =>
          messages.map(({ ruleId, message, line }) => `${ruleId}: ${message} (${line})`),
        ),
        [],
        path,
      );
      assert.doesNotMatch(html, /<script>|<img src=x/, path);
      const [, data] = /<script type="application\/ld\+json">([^<]*)<\/script>/.exec(html) ?? [];
      if (data !== undefined)
        assert.equal((JSON.parse(data) as { '@context': string })['@context'], 'https://schema.org');
    }
  });

  test('the path of an index without its slash leads to its first page, with the search', async (t) => {
    const { server } = await serve(t, []);
    const answer = await server.fastify.inject('/apps?q=clock&tag=beta');
    assert.deepEqual([answer.statusCode, answer.headers.location], [308, '/apps/?q=clock&tag=beta']);
  });

  test('the first page has what is new and what was updated, and the categories with their numbers', async (t) => {
    const { server, page, push } = await serve(
      t,
      Array.from({ length: 8 }, (_, number) => numbered(number)),
    );
    assert.deepEqual(
      namesBelow('Recently updated', await page('/')),
      [7, 6, 5, 4, 3, 2].map((number) => `App ${number}`),
    );
    assert.doesNotMatch(await page('/'), /<h2>New/);
    push(numbered(8));
    push({ ...numbered(0), summary: 'Better' });
    await server.rebuild();
    const home = await page('/');
    assert.deepEqual(namesBelow('New', home), ['App 8']);
    assert.deepEqual(namesBelow('Recently updated', home).toSorted().slice(0, 2), ['App 0', 'App 4']);
    assert.equal(namesBelow('All apps', home).length, 9);
    const chips = [...home.matchAll(/href="(\/apps\/[a-z-]+)"\s*>([^<]+) <span class="count">(\d+)</g)];
    assert.deepEqual(
      chips.map(([, path, title, count]) => [path, title, count]),
      [
        ['/apps/audio-video', 'Audio &amp; Video', '5'],
        ['/apps/games', 'Games', '4'],
        ['/apps/utilities', 'Utilities', '4'],
      ],
    );
    assert.deepEqual(
      namesBelow('Games', await page('/apps/games')),
      [1, 3, 5, 7].map((number) => `App ${number}`),
    );
  });

  test('an app is shown in the language of the browser, with English behind', async (t) => {
    const { page } = await serve(t, [
      {
        id: 'org.example.Clock',
        name: 'Clock',
        summary: 'Tells the time',
        description: '<p>It ticks.</p><p xml:lang="de">Sie tickt.</p>',
        appdata: '<name xml:lang="de">Uhr</name><summary xml:lang="de">Sagt die Zeit</summary>',
      },
    ]);
    const german = await page('/apps/org.example.Clock', { 'accept-language': 'de-AT, en;q=0.5' });
    assert.match(german, /<h1 dir="auto" lang="de">Uhr<\/h1>/);
    assert.match(german, /<p>Sie tickt\.<\/p>/);
    assert.match(german, /<p>Better\.<\/p>/);
    for (const language of ['fr', 'en, de'])
      assert.match(
        await page('/apps/org.example.Clock', { 'accept-language': language }),
        /<h1 dir="auto" ?>Clock<\/h1>/,
      );
  });

  test('an app of an index with a key and signatures is called signed, never verified', async (t) => {
    const app = { id: 'org.example.Clock', name: 'Clock' };
    const signed = await serve(t, [app], 'Our apps', Buffer.from('a key').toString('base64'));
    const html = await signed.page('/apps/org.example.Clock');
    assert.match(html, /<li class="badge good">Signed<\/li>/);
    assert.doesNotMatch(html, /verified/i);
    const unsigned = await serve(t, [app]);
    assert.doesNotMatch(await unsigned.page('/apps/org.example.Clock'), /signed|verified/i);
  });

  test('an app has tiles, links, categories and keywords', async (t) => {
    const { page } = await serve(t, [
      {
        id: 'org.example.Chat',
        name: 'Chat',
        keywords: ['talk & more'],
        categories: ['Network'],
        metadata: '[Context]\nshared=network;',
        appdata:
          '<project_license>GPL-3.0-or-later</project_license><url type="donation">https://example.org/give?a&amp;b</url><url type="vcs-browser">https://example.org/code</url><content_rating type="oars-1.1"><content_attribute id="social-chat">intense</content_attribute></content_rating>',
      },
    ]);
    const html = (await page('/apps/org.example.Chat')).replaceAll('\n', '');
    const tiles = [...html.matchAll(/<dt>([^<]+)<\/dt><dd>(?:<[^>]+>)?([^<]+)</g)].map(([, name, value]) => [
      name,
      value,
    ]);
    assert.deepEqual(
      tiles.slice(0, 6).map(([name, value]) => `${name}: ${value}`.replaceAll('\u00a0', ' ')),
      [
        'Download: 1.0 MB',
        'Installed size: 2.1 MB',
        'Last update: Jan 1, 2025',
        'License: GNU General Public License v3.0 or later',
        'Age: 13+',
        'Safety: Probably safe',
      ],
    );
    assert.match(html, /<a href="https:\/\/example\.org\/give\?a&amp;b" rel="noopener noreferrer">Donate<\/a>/);
    assert.match(html, /<a href="https:\/\/example\.org\/code" rel="noopener noreferrer">Source code<\/a>/);
    assert.match(html, /<a href="\/apps\/network">Internet<\/a>/);
    assert.match(html, /<a href="\/\?q=talk\+%26\+more">talk &amp; more<\/a>/);
  });
});
