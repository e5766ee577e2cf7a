import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { withRemoteIcons } from '../../../src/indexing/appdata/remote-icons.ts';
import { iconPath } from '../../../src/indexing/icons/icon-path.ts';
import { digestOf } from '../../../src/registry/digest.ts';
import { flatpakLabels } from '../../sources/flatpak-labels.ts';
import { randomIcon } from '../../sources/random-images.ts';
import { TestState } from '../test-state.ts';

const ID = 'org.example.App';
const APPDATA = 'org.freedesktop.appstream.appdata';
const ICON = '<icon type="remote" width="64" height="64">https://a.example.org/?a&amp;b</icon>';

function add(xml: string): string {
  return withRemoteIcons(xml, ID, [{ size: 64, url: 'https://a.example.org/?a&b' }]);
}

suite('an icon is named', () => {
  test('at the end of the component of the app', () => {
    const before = `<?xml version="1.0"?>\n<!-- € 𝄞 --><components><component><id>${ID}.Helper</id></component>\n<component type="desktop">\n <id> ${ID}.desktop </id><name>A &amp; B</name><icon type="cached">x.png</icon><x><![CDATA[</component>]]></x>`;
    const after = '\n</component ><component><id>org.example.Other</id></component></components>\n';
    assert.equal(add(before + after), before + '\n' + ICON + after.slice(1));
    assert.equal(add(`<component><id>${ID}</id></component>`), `<component><id>${ID}</id>${ICON}</component>`);
  });

  test('also if attributes are named like properties of objects', () => {
    const xml = `<component hasOwnProperty="x" __proto__="y" z="z"><id>${ID}</id></component>`;
    assert.notEqual(add(xml), xml);
  });

  const unchanged: Readonly<Record<string, string>> = {
    'there is no component of the app': `<components><component><id>org.example.Other</id><provides><id>${ID}</id></provides></component></components>`,
    'it is cut off': `<components><component><id>${ID}</id></component>`,
    'it is damaged': `<component><id>${ID}</id></x></component>`,
    'it names remote icons itself': `<component><id>${ID}</id><icon type="remote">https://b.example.org/icon.png</icon></component>`,
    'it has nothing in it': '<component/>',
    'it is not XML': 'not XML',
    'there is none': '',
    'it is too long': `<component><id>${ID}</id><x>${'x'.repeat(1024 * 1024)}</x></component>`,
  };
  for (const [reason, xml] of Object.entries(unchanged))
    test(`but not if ${reason}`, () => assert.equal(add(xml), xml));
});

suite('remote_icons', () => {
  const icon = randomIcon('icon', 200);
  const labels = flatpakLabels({ id: ID, name: 'App', icon });

  test('names the icons that are extracted, and changes nothing else', async (t) => {
    const state = await TestState.open(t, {
      definitions: [{ extractIcons: true, remoteIconsUri: 'https://cdn.example.org/icons/' }],
    });
    state.registry.pushImage('app', 'latest', { labels });
    await state.rebuild();
    const [shown] = (await state.json()).Results[0]?.Images ?? [];
    const path = iconPath(digestOf(icon));
    assert.equal(
      shown?.Labels[APPDATA],
      labels[APPDATA]?.replace(
        '</component>',
        `<icon type="remote" width="128" height="128">https://cdn.example.org/icons/${path}</icon></component>`,
      ),
    );
    assert.deepEqual(
      { ...shown?.Labels, [APPDATA]: '' },
      { ...labels, [APPDATA]: '', 'org.freedesktop.appstream.icon-128': `icons/${path}` },
    );
  });

  test('is off unless set', async (t) => {
    const state = await TestState.open(t, { definitions: [{ extractIcons: true }] });
    state.registry.pushImage('app', 'latest', { labels });
    await state.rebuild();
    assert.equal((await state.json()).Results[0]?.Images[0]?.Labels[APPDATA], labels[APPDATA]);
  });
});
