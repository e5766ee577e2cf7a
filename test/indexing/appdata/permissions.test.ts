import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assert as check, property, string } from 'fast-check';
import { listOf, parseKeyFile } from '../../../src/indexing/appdata/key-file.ts';
import { permissionsOf, safetyOf } from '../../../src/indexing/appdata/permissions.ts';

function permissions(metadata: string) {
  return permissionsOf(parseKeyFile(metadata));
}

function safety(context: string) {
  return safetyOf(parseKeyFile(`[Context]\n${context}\n`));
}

test('an app without a context has no permissions', () => {
  assert.deepEqual(permissions('[Application]\nname=org.example.App\n'), []);
});

test('each permission is described in words, the dangerous ones first and marked', () => {
  const told = permissions(`[Context]
shared=network;ipc;
sockets=wayland;x11;
devices=dri;all;
filesystems=host:ro;xdg-music;~/.ssh;!home;
[Session Bus Policy]
org.freedesktop.Flatpak=talk
org.example.Other=own
org.example.None=none
[System Bus Policy]
org.freedesktop.UPower=talk
`);
  assert.deepEqual(
    told.filter(({ dangerous }) => dangerous).map(({ text }) => text),
    [
      'Read all files',
      'Read and change ~/.ssh',
      'Use all devices, such as cameras and USB sticks',
      'Show windows by X11, where it can watch and control all other windows',
      'Talk to org.freedesktop.Flatpak on the session bus',
    ],
  );
  assert.deepEqual(
    told.filter(({ dangerous }) => !dangerous).map(({ text }) => text),
    [
      'Use the network',
      'Share memory with other programs, as X11 needs it',
      'Read and change your music',
      'Use the graphics card',
      'Show windows',
      'Be org.example.Other on the session bus',
      'Talk to org.freedesktop.UPower on the system bus',
    ],
  );
  assert.ok(told.slice(0, 5).every(({ dangerous }) => dangerous));
  assert.deepEqual(
    told.filter(({ kind }) => kind === 'network').map(({ text }) => text),
    ['Use the network'],
  );
});

test('unknown permissions are described by their names', () => {
  assert.deepEqual(
    permissions('[Context]\nsockets=warp;\ndevices=constructor;\n').map(({ text }) => text),
    ['Use the device “constructor”', 'Use the socket “warp”'],
  );
});

test('one word says how far users have to trust an app', () => {
  assert.equal(safetyOf(parseKeyFile('[Application]\nname=org.example.App\n')), 'safe');
  assert.equal(safety('shared=ipc;\nsockets=wayland;fallback-x11;x11;\ndevices=dri;'), 'safe');
  assert.equal(safety('shared=network;'), 'probably-safe');
  assert.equal(safety('sockets=pulseaudio;\nfilesystems=xdg-music:ro;'), 'probably-safe');
  assert.equal(safety('sockets=warp;'), 'probably-safe');
  assert.equal(safety('shared=network;\nfilesystems=home;'), 'potentially-unsafe');
  assert.equal(safety('sockets=x11;'), 'potentially-unsafe');
});

test('X11 only where there is no Wayland is no danger, though old Flatpaks are told of X11 too', () => {
  assert.deepEqual(permissions('[Context]\nsockets=x11;wayland;fallback-x11;\n'), [
    { kind: 'sockets', text: 'Show windows', dangerous: false },
    { kind: 'sockets', text: 'Show windows by X11 where there is no Wayland', dangerous: false },
  ]);
});

test('a dangerous permission is listed, however many others come first', () => {
  const folders = Array.from({ length: 200 }, (_, number) => `xdg-music/${number};`).join('');
  assert.equal(
    permissions(`[Context]\nfilesystems=${folders}home;\n`)[0]?.text,
    'Read and change all files in your home folder',
  );
});

test('a key file is read as GLib reads it', () => {
  const file = parseKeyFile(
    '# comment\nlost=1\n[A]\n key = a = b \nname[de]=Uhr\n[B]\nlist=one;t\\;wo;;\n[A]\nmore=1\n',
  );
  assert.deepEqual(
    [...(file.get('A') ?? [])],
    [
      ['key', 'a = b'],
      ['more', '1'],
    ],
  );
  assert.deepEqual(listOf(file.get('B')?.get('list')), ['one', 't;wo']);
});

test('random metadata give a result of limited size', () => {
  check(
    property(string({ maxLength: 2000 }), (text) => {
      const told = permissions(`[Context]\nfilesystems=${text.repeat(20)};\n[Session Bus Policy]\n${text}=talk\n`);
      assert.ok(told.length <= 100);
      assert.ok(told.every((permission) => permission.text.length <= 200));
    }),
  );
});
