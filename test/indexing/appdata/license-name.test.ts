import assert from 'node:assert/strict';
import { test } from 'node:test';
import { licenseName } from '../../../src/indexing/appdata/license-name.ts';

test('license expressions are written in words; unknown ones stay as they are', () => {
  const names: Readonly<Record<string, string>> = {
    MIT: 'MIT License',
    'GPL-3.0-or-later': 'GNU General Public License v3.0 or later',
    'LGPL-2.1+': 'GNU Lesser General Public License v2.1 or later',
    'AGPL-3.0-only': 'GNU Affero General Public License v3.0 only',
    'GPL-2.0': 'GNU General Public License v2.0',
    'MIT AND (Apache-2.0 OR MPL-2.0)': 'MIT License and (Apache License 2.0 or Mozilla Public License 2.0)',
    'GPL-2.0-only WITH Classpath-exception-2.0': 'GNU General Public License v2.0 only with Classpath-exception-2.0',
    'LicenseRef-proprietary': 'Proprietary',
    'LicenseRef-proprietary=https://example.org/eula': 'Proprietary',
    'LicenseRef-free=https://example.org/': 'Free',
    'Our own': 'Our own',
    '': '',
  };
  assert.deepEqual(Object.fromEntries(Object.keys(names).map((id) => [id, licenseName(id)])), names);
});
