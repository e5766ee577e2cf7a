import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { makeCertificates } from '../peers/certificates.ts';
import { needs } from '../peers/installed.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { commandResult } from '../peers/run-command.ts';

const TRUST = resolve(import.meta.dirname, 'trust.ts');
const [SYSTEM, LIST] = ['/usr/local/share/ca-certificates', '/etc/ssl/certs'];
/**
 * Runs in a mount namespace with few authorities, since updating many takes long: trusts `$1`, prints what that
 * changed, undoes it, and prints what differs from before.
 */
const SCRIPT = `
set -e
mkdir system list hooks
grep '^[^#!]' /etc/ca-certificates.conf | head -3 > few
mount --bind system ${SYSTEM}; mount --bind list ${LIST}; mount --bind hooks /etc/ca-certificates/update.d; mount --bind few /etc/ca-certificates.conf
update-ca-certificates > /dev/null
cp -a system system.before; cp -a list list.before
"$NODE" ${TRUST} "$1" > trusted.log
openssl verify -CApath ${LIST} "$2"
openssl verify -CAfile ${LIST}/ca-certificates.crt "$2"
find config -type f
"$NODE" ${TRUST} --undo > undone.log
diff -r --no-dereference system.before system
diff -r --no-dereference list.before list
find config
`;

function canMount(): { readonly skip: string | false } {
  const possible =
    existsSync(SYSTEM) && spawnSync('unshare', ['--mount', 'mount', '--bind', SYSTEM, LIST]).status === 0;
  return { skip: !possible && 'this system does not let tests mount a folder over another' };
}

test(
  'trust-local has the system and flatpak trust the authority, and untrust-local leaves no trace',
  { ...needs('openssl'), ...canMount() },
  async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-trust-'));
    const { authority, certificate } = await makeCertificates(folder.path);
    await mkdir(join(folder.path, 'config'));
    await writeFile(join(folder.path, 'script'), SCRIPT);
    const env = bareEnvironment(folder.path, { NODE: process.execPath, XDG_CONFIG_HOME: join(folder.path, 'config') });
    const { code, stdout, stderr } = await commandResult(
      'unshare',
      ['--mount', 'sh', 'script', authority, certificate],
      { cwd: folder.path, env },
    );
    assert.equal(code, 0, `${stdout}${stderr}`);
    assert.equal(
      stdout,
      `${certificate}: OK\n${certificate}: OK\nconfig/containers/certs.d/localhost:7443/ca.crt\nconfig\n`,
    );
  },
);
