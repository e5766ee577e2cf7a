import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { assert as check, property, string, array, constantFrom } from 'fast-check';
import { parseAppdata } from '../../../src/indexing/appdata/parse-appdata.ts';

const SAMPLE = new URL('../../fixtures/sources/hello/appdata.xml', import.meta.url);

function component(content: string): string {
  return `<?xml version="1.0"?><components><component type="desktop-application"><id>org.example.App</id>${content}</component></components>`;
}

test('the metadata of an app are read, without translations', async () => {
  const { name, summary, developer, license, type, keywords, description, releases } = parseAppdata(
    await readFile(SAMPLE, 'utf8'),
  );
  assert.deepEqual(
    { name, summary, developer, license, type, keywords },
    {
      name: 'Hello',
      summary: 'Says hello',
      developer: 'The Example Project',
      license: 'MIT',
      type: 'desktop-application',
      keywords: ['greeting', 'sample'],
    },
  );
  assert.deepEqual(
    description.map(({ kind }) => kind),
    ['paragraph', 'paragraph', 'list'],
  );
  assert.deepEqual(description[2], { kind: 'list', entries: [['Greets politely'], ['Needs no permission at all']] });
  assert.equal(releases[1]?.version, '0.9');
  assert.deepEqual(releases[1]?.notes, [{ kind: 'paragraph', text: ['The first greeting.'] }]);
});

test('newer spellings are read too', () => {
  const appdata = parseAppdata(
    component(`
    <developer id="org.example"><name>Somebody</name><name xml:lang="de">Jemand</name></developer>
    <name xml:lang="de">Falsch</name><name>Right</name>
    <url type="bugtracker">https://example.org/bugs</url><url type="homepage">https://example.org/</url>
    <releases><release version="2" timestamp="1735732800"/></releases>
    <description>No markup at all</description>`),
  );
  assert.equal(appdata.developer, 'Somebody');
  assert.equal(appdata.name, 'Right');
  assert.deepEqual(appdata.links, [
    { kind: 'homepage', url: 'https://example.org/' },
    { kind: 'bugtracker', url: 'https://example.org/bugs' },
  ]);
  assert.equal(appdata.releases[0]?.date, '2025-01-01');
  assert.deepEqual(appdata.description, [{ kind: 'paragraph', text: ['No markup at all'] }]);
});

test('emphasis and code are kept, other markup is reduced to its text, translated paragraphs are skipped', () => {
  const { description } = parseAppdata(
    component(
      '<description><p> Runs <em> very\n<code>  fast</code></em> <b>&lt;b&gt;</b><em> </em></p><p xml:lang="de">Schnell</p><ol><li>One</li><li xml:lang="de">Eins</li></ol></description>',
    ),
  );
  assert.deepEqual(description, [
    { kind: 'paragraph', text: ['Runs ', { kind: 'em', text: 'very ' }, { kind: 'code', text: 'fast' }, ' <b>'] },
    { kind: 'numbered', entries: [['One']] },
  ]);
});

/** Returns a component with its name as its type. */
function one(id: string, name: string): string {
  return `<component type="${name}"><id>${id}</id><name>${name}</name></component>`;
}

/** Parses; returns the name and type of the chosen component. */
function named(id: string | undefined, ...components: readonly string[]): readonly string[] {
  const { name, type } = parseAppdata(`<components>${components.join('')}</components>`, {
    ...(id !== undefined && { id }),
  });
  return [name, type];
}

test('of several components, that of the app counts, with or without .desktop, else the first', () => {
  const [helper, app, other] = [
    one('org.example.App.Helper', 'Helper'),
    one('org.example.App', 'App'),
    one('org.example.Other', 'Other'),
  ];
  assert.deepEqual(named('org.example.App', helper, app, other), ['App', 'App']);
  assert.deepEqual(named('org.example.App', helper, one('org.example.App.desktop', 'Desktop'), other), [
    'Desktop',
    'Desktop',
  ]);
  assert.deepEqual(named('org.example.desktop', helper, one('org.example.desktop', 'Named so')), [
    'Named so',
    'Named so',
  ]);
  assert.deepEqual(named('org.example.None', helper, app), ['Helper', 'Helper']);
  assert.deepEqual(named(undefined, helper, app), ['Helper', 'Helper']);
  assert.deepEqual(named('org.example.App', '<component><name>Late</name><id>org.example.App</id></component>'), [
    'Late',
    '',
  ]);
  assert.equal(
    parseAppdata(`<components>${helper}<component><id>org.example.App</id><name>Kept</name><summary>lost`, {
      id: 'org.example.App',
    }).name,
    'Kept',
    'damaged',
  );
  assert.equal(
    parseAppdata(
      '<components><component><name>One</name></component><component><summary>Two</summary></component></components>',
    ).summary,
    '',
    'components are not merged',
  );
});

test('C and English stand in for missing untranslated texts', () => {
  const read = parseAppdata(
    component(`
    <name xml:lang="de">Falsch</name><name xml:lang="en_GB">Colour</name><name xml:lang="en">English</name><name xml:lang="C">Right</name>
    <summary xml:lang="en">English</summary><summary>Right</summary><summary xml:lang="C">C</summary>
    <developer><name xml:lang="en-US">Somebody</name></developer>
    <keywords xml:lang="de"><keyword>falsch</keyword></keywords><keywords xml:lang="en"><keyword>right</keyword><keyword>too</keyword></keywords>
    <description xml:lang="fr"><p>Faux</p></description>
    <description xml:lang="en"><p>One</p><ul><li>Two</li></ul></description>
    <releases><release version="1"><description><p xml:lang="C">Better</p><p xml:lang="de">Besser</p><ul><li xml:lang="C">Faster</li><li xml:lang="de">Schneller</li></ul></description></release></releases>`),
  );
  assert.deepEqual(
    [read.name, read.summary, read.developer, read.keywords],
    ['Right', 'Right', 'Somebody', ['right', 'too']],
  );
  assert.deepEqual(read.description, [
    { kind: 'paragraph', text: ['One'] },
    { kind: 'list', entries: [['Two']] },
  ]);
  assert.deepEqual(read.releases[0]?.notes, [
    { kind: 'paragraph', text: ['Better'] },
    { kind: 'list', entries: [['Faster']] },
  ]);
  const both = parseAppdata(
    component('<description><p>One</p><p xml:lang="en">English</p><p xml:lang="C">C</p></description>'),
  );
  assert.deepEqual(both.description, [{ kind: 'paragraph', text: ['One'] }]);
  assert.equal(
    parseAppdata(
      '<components xml:lang="C"><component><name>Whole</name><name xml:lang="de">Ganz</name></component></components>',
    ).name,
    'Whole',
  );
  assert.equal(parseAppdata(component('<name xml:lang="Cx">No</name><name xml:lang="enm">No</name>')).name, '');
});

test('links are read by their kind; only web URLs of known kinds count, and the first of each', () => {
  const { links } = parseAppdata(
    component(`<url type="donation">https://example.org/give</url><url type="donation">https://example.org/more</url>
    <url type="homepage">javascript:alert(1)</url><url type="contact">mailto:me@example.org</url>
    <url type="vcs-browser">https://example.org/code</url><url type="constructor">https://example.org/</url><url>https://example.org/</url>`),
  );
  assert.deepEqual(links, [
    { kind: 'donation', url: 'https://example.org/give' },
    { kind: 'vcs-browser', url: 'https://example.org/code' },
  ]);
});

test('screenshots are read with sizes and captions, the default one first', () => {
  const { screenshots } = parseAppdata(
    `<components media_baseurl="https://media.example.org/all/"><component><id>org.example.App</id><screenshots>
      <screenshot><caption>Second</caption><caption xml:lang="de">Zweites</caption>
        <image type="source" width="1600" height="900">one/image.png</image>
        <image type="thumbnail" width="752" height="-1">one/752.png</image>
        <image type="source" xml:lang="de">https://example.org/de.png</image>
        <video>https://example.org/video.webm</video></screenshot>
      <screenshot type="default"><image>https://example.org/first.png</image></screenshot>
      <screenshot>https://example.org/older-spelling.png</screenshot>
      <screenshot><caption>Nothing</caption><image>javascript:alert(1)</image><image>file:///etc/passwd</image></screenshot>
    </screenshots></component></components>`.replace('javascript:alert(1)', 'ftp://example.org/no.png'),
  );
  assert.deepEqual(screenshots, [
    { caption: '', images: [{ kind: 'source', url: 'https://example.org/first.png', width: 0, height: 0 }] },
    {
      caption: 'Second',
      images: [
        { kind: 'source', url: 'https://media.example.org/all/one/image.png', width: 1600, height: 900 },
        { kind: 'thumbnail', url: 'https://media.example.org/all/one/752.png', width: 752, height: 0 },
      ],
    },
    { caption: '', images: [{ kind: 'source', url: 'https://example.org/older-spelling.png', width: 0, height: 0 }] },
  ]);
});

test('categories, content rating and links of releases are read', () => {
  const { categories, contentRating, releases } = parseAppdata(
    component(`<categories><category>Audio</category><category>Player</category></categories>
    <content_rating type="oars-1.1"><content_attribute id="social-chat">intense</content_attribute><content_attribute id="__proto__">mild</content_attribute></content_rating>
    <releases><release version="1"><url type="details">https://example.org/1</url></release><release version="0"><url>no</url></release></releases>`),
  );
  assert.deepEqual(categories, ['Audio', 'Player']);
  assert.equal(contentRating?.['social-chat'], 'intense');
  assert.deepEqual(
    releases.map(({ url }) => url),
    ['https://example.org/1', ''],
  );
  assert.deepEqual(parseAppdata(component('<content_rating type="oars-1.1"/>')).contentRating, {});
  assert.equal(parseAppdata(component('<content_rating type="mine"/>')).contentRating, undefined);
  assert.equal(parseAppdata(component('')).contentRating, undefined);
});

test('translations are read by language, paragraph by paragraph, with what is not translated behind', () => {
  const { name, description, translations } = parseAppdata(
    component(`<name>Clock</name><name xml:lang="de">Uhr</name><name xml:lang="en_GB">Clock</name><name xml:lang="sr@latin">Sat</name>
    <name xml:lang="x-test">xxClockxx</name><name xml:lang="not a language">No</name>
    <summary>Shows time</summary><summary xml:lang="pt_BR">Mostra as horas</summary>
    <developer><name>Somebody</name><name xml:lang="de">Jemand</name></developer>
    <keywords><keyword>time</keyword><keyword xml:lang="de">Zeit</keyword></keywords>
    <description><p>One</p><p xml:lang="de">Eins</p><p>Two</p><ul><li>Three</li><li xml:lang="de">Drei</li><li>Four</li></ul><p>Five</p><p xml:lang="de">Fünf</p></description>
    <screenshots><screenshot><caption>Before</caption><image>https://example.org/1.png</image></screenshot>
      <screenshot type="default"><caption>Main</caption><caption xml:lang="de">Haupt</caption><image>https://example.org/2.png</image></screenshot></screenshots>
    <releases><release version="2"><description><p>New</p><p xml:lang="de">Neu</p></description></release>
      <release version="1"><description><p>Old</p><p xml:lang="fr">Vieux</p></description></release></releases>`),
    { translations: true },
  );
  assert.equal(name, 'Clock');
  assert.equal(description.length, 4);
  assert.deepEqual(translations, {
    de: {
      name: 'Uhr',
      developer: 'Jemand',
      keywords: ['Zeit'],
      description: [
        { kind: 'paragraph', text: ['Eins'] },
        { kind: 'paragraph', text: ['Two'] },
        { kind: 'list', entries: [['Drei'], ['Four']] },
        { kind: 'paragraph', text: ['Fünf'] },
      ],
      notes: [{ kind: 'paragraph', text: ['Neu'] }],
      captions: ['Haupt', 'Before'],
    },
    'pt-BR': { summary: 'Mostra as horas' },
    'sr-Latn': { name: 'Sat' },
  });
});

test('whole descriptions in other languages, as in catalogs, replace the untranslated one', () => {
  const { description, translations } = parseAppdata(
    component(
      '<description><p>One</p><p>Two</p></description><description xml:lang="fr"><p>Un</p><ul><li>Deux</li></ul></description><description xml:lang="nl">Zonder opmaak</description>',
    ),
    { translations: true },
  );
  assert.deepEqual(description, [
    { kind: 'paragraph', text: ['One'] },
    { kind: 'paragraph', text: ['Two'] },
  ]);
  assert.deepEqual(translations, {
    fr: {
      description: [
        { kind: 'paragraph', text: ['Un'] },
        { kind: 'list', entries: [['Deux']] },
      ],
    },
    nl: { description: [{ kind: 'paragraph', text: ['Zonder opmaak'] }] },
  });
});

test('entities are not expanded', () => {
  const levels = Array.from(
    { length: 30 },
    (_, level) => `<!ENTITY e${level + 1} "&e${level};&e${level};&e${level};&e${level};">`,
  ).join('');
  const bomb = `<?xml version="1.0"?><!DOCTYPE c [<!ENTITY e0 "boom">${levels}<!ENTITY file SYSTEM "file:///etc/passwd">]><component><name>Before</name><summary>&e30;</summary><developer_name>&file;</developer_name></component>`;
  const { name, summary, developer } = parseAppdata(bomb);
  assert.deepEqual({ name, summary, developer }, { name: 'Before', summary: '', developer: '' });
});

test('depth, length and numbers are limited, and parsing is quick', () => {
  const started = performance.now();
  parseAppdata(component(`<description>${'<p>'.repeat(1_000_000)}`));
  const { description, keywords, releases, summary } = parseAppdata(
    component(
      `<summary>${'x'.repeat(100_000)}</summary><description>${'<p>x</p>'.repeat(10_000)}</description><keywords>${'<keyword>k</keyword>'.repeat(1000)}</keywords><releases>${'<release version="1"/>'.repeat(1000)}</releases>`,
    ),
  );
  assert.ok(summary.length <= 8000);
  assert.equal(description.length, 200);
  assert.equal(keywords.length, 50);
  assert.equal(releases.length, 20);
  const letters = 'abcdefghijklmnopqrstuvwxyz'.split('');
  const languages = letters.flatMap((first) => letters.map((second) => first + second));
  const { screenshots, translations } = parseAppdata(
    component(
      `<screenshots>${`<screenshot>${'<image>https://example.org/</image>'.repeat(100)}</screenshot>`.repeat(100)}</screenshots>${languages.map((language) => `<name xml:lang="${language}">${language}</name>`).join('')}`,
    ),
    { translations: true },
  );
  assert.equal(screenshots.length, 20);
  assert.ok(screenshots.every(({ images }) => images.length <= 20));
  assert.equal(Object.keys(translations).length, 200);
  assert.ok(performance.now() - started < 5000);
});

test('of an invalid document, what precedes the error is kept', () => {
  assert.equal(parseAppdata(component('<name>Kept</name><summary>lost')).name, 'Kept');
  assert.equal(parseAppdata('<component><name>Kept</name></wrong><summary>Lost</summary>').summary, '');
});

test('an attribute may have any name', () => {
  for (const name of ['hasOwnProperty', '__proto__', 'constructor', 'toString'])
    assert.equal(
      parseAppdata(
        `<component ${name}="x" type="font" ${name}2="y"><name ${name}="x" xml:lang="de">Nein</name><name ${name}="x" a="y">Yes</name></component>`,
      ).name,
      'Yes',
      name,
    );
});

test('random texts never throw', () => {
  const piece = constantFrom(
    '<component>',
    '</component>',
    '<description>',
    '</description>',
    '<p>',
    '</p>',
    '<ul>',
    '<li>',
    '</ul>',
    '<name>',
    '</name>',
    '<!DOCTYPE x [',
    ']>',
    '<![CDATA[',
    ']]>',
    '&amp;',
    '&x;',
    '<release version="1">',
    '<releases>',
    '<p xml:lang="de">',
    '<screenshots><screenshot>',
    '<image>https://example.org',
    '<name hasOwnProperty="x" ',
    '__proto__="x" ',
    '<!--',
    '-->',
    '<?x',
  );
  check(
    property(array(piece.chain((text) => string().map((other) => text + other))), (pieces) => {
      const { name, description } = parseAppdata(pieces.join(''), { translations: true });
      assert.equal(typeof name, 'string');
      assert.ok(Array.isArray(description));
    }),
  );
});

/** Languages that have names of three letters. */
const LETTERS = Array.from('abcdefghijklmnopqrstuvwxyz');
const LANGUAGES = LETTERS.flatMap((a) => LETTERS.flatMap((b) => LETTERS.map((c) => a + b + c)));

test('translations take no more than a few times the app data, whatever is not translated in between', () => {
  const translated = LANGUAGES.slice(0, 200).map((language) => `<p xml:lang="${language}">x</p>`);
  const xml = component(
    `<description><p>y</p>${translated.join('')}${`<p>${'t'.repeat(5_000)}</p>`.repeat(150)}</description>`,
  );
  const { description, translations } = parseAppdata(xml, { translations: true });
  assert.equal(description.length, 151);
  assert.ok(Object.keys(translations).length > 1);
  assert.ok(JSON.stringify(translations).length < 8 * xml.length);
});

test('thousands of languages or spans take a time that grows with their number alone', () => {
  const translated = LANGUAGES.map((language) => `<p xml:lang="${language}">x</p>`);
  const { translations } = parseAppdata(component(`<description><p>y</p>${translated.join('')}</description>`), {
    translations: true,
  });
  assert.equal(Object.keys(translations).length, 200);
  const spans = `<p>${'<em>a</em>b'.repeat(4_000)}</p>`;
  const { description } = parseAppdata(component(`<description>${spans.repeat(20)}</description>`));
  assert.equal(description.length, 20);
});
