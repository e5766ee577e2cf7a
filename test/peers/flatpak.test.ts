import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFlatpakClient } from './flatpak.ts';
import { needs } from './installed.ts';

test(
  'flatpak runs in a session of its own, without the remotes of the machine',
  needs('flatpak', 'dbus-daemon'),
  async () => {
    await using client = await startFlatpakClient();
    assert.match(await client.flatpak('--version'), /^Flatpak \d/);
    await client.flatpak('remote-add', '--user', 'sample', 'oci+http://127.0.0.1:1');
    assert.equal(await client.flatpak('remotes', '--columns=name,options'), 'sample\tuser,oci\n');
  },
);

test('a command that fails throws with the output of flatpak', needs('flatpak', 'dbus-daemon'), async () => {
  await using client = await startFlatpakClient();
  await assert.rejects(
    client.flatpak('remote-ls', '--user', 'nowhere'),
    /remote-ls --user nowhere exited with 1:\n.*nowhere/s,
  );
});
