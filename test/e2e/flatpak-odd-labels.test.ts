import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { get } from './ask-server.ts';
import { eventually } from './eventually.ts';

/** Labels beside an app's own. The first ones leave its image out of the index. */
const ODD: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'net.own.LoneValue': { x: '\ud800' },
  'net.own.LoneKey': { '\udfff': 'x' },
  'net.own.NulValue': { x: 'a\0b' },
  'net.own.NulKey': { 'org.flatpak.ref\0': 'app/net.own.Spoofed/x86_64/stable' },
  'net.own.EmptyKey': { '': 'x' },
  'net.own.Controls': { 'a\u0001\n\t': '\u0001\u001f\u007f\u2028\ufeff\uffff\u{10ffff}' },
  'net.own.Proto': { ['__proto__']: 'x', constructor: 'y' },
  'net.own.Words': { '"\\/{}[]': '// null', "'": '/* true' },
  'net.own.Long': { long: 'x'.repeat(8 * 1024 * 1024), ['k'.repeat(1024 * 1024)]: '' },
  'net.own.Many': Object.fromEntries(
    Array.from({ length: 10_000 }, (_, number) => [`label-${number}`, String(number)]),
  ),
};
const LEFT_OUT: ReadonlySet<string> = new Set([
  'net.own.LoneValue',
  'net.own.LoneKey',
  'net.own.NulValue',
  'net.own.NulKey',
]);

suite('labels of one image', needs('flatpak', 'dbus-daemon'), () => {
  test('take no app away from a real flatpak', async () => {
    await using registry = await LabelRegistry.start();
    for (const [id, labels] of Object.entries(ODD))
      registry.push(id.toLowerCase(), { labels: { ...flatpakLabels({ id }), ...labels } });
    await using server = await startRegindexer({
      config: { indexes: { apps: { registry: registry.url } }, server: { port: 0 } },
    });
    await eventually(() => get(`${server.url}/readyz`));
    await using user = await startFlatpakClient();
    await user.flatpak('remote-add', '--user', '--no-gpg-verify', 'apps', `oci+${server.url}`);
    const listed = await user.flatpak('remote-ls', '--user', '--all', 'apps', '--columns=application');
    assert.deepEqual(
      listed.trim().split('\n').toSorted(),
      Object.keys(ODD)
        .filter((id) => !LEFT_OUT.has(id))
        .toSorted(),
    );
    for (const id of LEFT_OUT)
      assert.match(server.log, new RegExp(`"repository":"${id.toLowerCase()}"[^\n]*expected Unicode text without NUL`));
  });
});
