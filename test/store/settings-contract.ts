/** Contract of every engine's settings. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import type { Settings } from '../../src/store/store.ts';

/** Settings that are removed after the test. */
export interface SettingsUnderTest {
  /** Opens them; closes those that were opened before. */
  open(): Promise<Settings>;
}

export function settingsContract(create: (t: TestContext) => SettingsUnderTest): void {
  test('a setting is what was set last, also when it is opened again', async (t) => {
    const under = create(t);
    const settings = await under.open();
    assert.equal(await settings.get('one'), undefined);
    await settings.set('one', 'first');
    await settings.set('other', 'its own');
    assert.equal(await settings.get('one'), 'first');
    await settings.set('one', '');
    const again = await under.open();
    assert.deepEqual(
      [await again.get('one'), await again.get('other'), await again.get('two')],
      ['', 'its own', undefined],
    );
  });

  test('keys and values may be any text without a NUL', async (t) => {
    const settings = await create(t).open();
    const text = fc.string({ unit: 'binary' }).filter((any) => any.isWellFormed() && !any.includes('\0'));
    await fc.assert(
      fc.asyncProperty(text, text, async (key, value) => {
        await settings.set(key, value);
        assert.equal(await settings.get(key), value);
      }),
    );
  });
}
