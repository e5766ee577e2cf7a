import assert from 'node:assert/strict';
import { test } from 'node:test';
import { translatedDetails } from '../../../src/indexing/appdata/translated-details.ts';
import { acceptedLanguages } from '../../../src/server/http/accept-language.ts';
import { flatpakLabels } from '../../sources/flatpak-labels.ts';
import { TestState } from '../test-state.ts';

const NAMES = ['de', 'en-GB', 'pt-BR', 'pt-PT', 'sr', 'sr-Latn', 'zh-CN', 'zh-TW'];

test('texts are in the first wanted language that there is, with English behind', async (t) => {
  const state = await TestState.open(t);
  const names = NAMES.map((language) => `<name xml:lang="${language}">${language}</name>`).join('');
  state.registry.pushImage('app', 'latest', {
    labels: flatpakLabels({ id: 'org.example.App', name: 'App', appdata: names }),
  });
  await state.rebuild();
  const described = await (await state.index()).app('org.example.App');
  assert.ok(described);
  const chosen = (header: string) => {
    const { details, language } = translatedDetails(described, acceptedLanguages(header));
    assert.equal(details.name, language === 'en' ? 'App' : language);
    return language;
  };
  assert.deepEqual(described.details.languages, NAMES);
  const expected: Readonly<Record<string, string>> = {
    'de-AT,de;q=0.9,en;q=0.8': 'de',
    'fr;q=0.9, pt;q=0.8, de;q=0.1': 'pt-BR',
    'pt-PT': 'pt-PT',
    'pt-AO': 'pt-BR',
    'en-US,de': 'en',
    'en-GB,en;q=0.5': 'en-GB',
    'zh-Hant-HK': 'zh-TW',
    'zh-Hans': 'zh-CN',
    'sr-RS': 'sr',
    'sr-Latn-RS': 'sr-Latn',
    'fr, *': 'en',
    'de;q=0': 'en',
    '': 'en',
    ',;q=,x-klingon,de;q=x': 'en',
  };
  assert.deepEqual(Object.fromEntries(Object.keys(expected).map((header) => [header, chosen(header)])), expected);
});
