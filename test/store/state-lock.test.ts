/** One process at a time on one state folder. */
import assert from 'node:assert/strict';
import type { ChildProcessByStdio } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { StoreError } from '../../src/store/store-error.ts';
import { StateLock, StateLockedError } from '../../src/store/state-lock.ts';
import { temporaryFolder } from './temporary-folder.ts';

const PROGRAM = join(import.meta.dirname, 'programs', 'hold-lock.ts');

/** Starts another process that holds the lock of `folder`. */
async function holder(t: TestContext, folder: string): Promise<ChildProcessByStdio<Writable, Readable, null>> {
  const child = spawn(process.execPath, [PROGRAM, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(said.toString(), 'held\n');
  return child;
}

function assertHeld(folder: string, by: string): void {
  assert.throws(
    () => StateLock.acquire(folder),
    (error) => {
      assert.ok(error instanceof StateLockedError);
      assert.equal(error.message, `${folder} is in use by ${by}: stop it, or set another state_dir for this process`);
      return true;
    },
  );
}

test('a missing folder is created; after release only an empty file is left', (t) => {
  const folder = join(temporaryFolder(t), 'var', 'state');
  StateLock.acquire(folder).release();
  assert.deepEqual(readdirSync(folder), ['lock']);
});

test('a second lock in the same process is refused until the first is released', (t) => {
  const folder = temporaryFolder(t);
  const first = StateLock.acquire(folder);
  assertHeld(folder, `process ${process.pid} on ${hostname()}`);
  assertHeld(folder, `process ${process.pid} on ${hostname()}`);
  first.release();
  first.release();
  StateLock.acquire(folder).release();
});

test('locks of different folders are independent', (t) => {
  const locks = [StateLock.acquire(temporaryFolder(t)), StateLock.acquire(temporaryFolder(t))];
  for (const lock of locks) lock.release();
});

test('another process is refused with the holder’s id, and so is this one', async (t) => {
  const folder = temporaryFolder(t);
  const lock = StateLock.acquire(folder);
  const { status, stderr } = spawnSync(process.execPath, [PROGRAM, folder], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`StateLockedError: ${folder} is in use by process ${process.pid} on `));
  lock.release();

  const child = await holder(t, folder);
  assertHeld(folder, `process ${child.pid} on ${hostname()}`);
  child.stdin.end();
  await once(child, 'close');
  StateLock.acquire(folder).release();
});

test('kill -9 of the holder releases the lock at once, and its id is not reported any more', async (t) => {
  const folder = temporaryFolder(t);
  for (let kill = 0; kill < 3; kill++) {
    const child = await holder(t, folder);
    child.kill('SIGKILL');
    await once(child, 'close');
    const lock = StateLock.acquire(folder);
    assertHeld(folder, `process ${process.pid} on ${hostname()}`);
    lock.release();
  }
});

test('a lock is held also if its holder could not be recorded', (t) => {
  const folder = temporaryFolder(t);
  const lock = StateLock.acquire(folder);
  rmSync(join(folder, 'lock.holder'));
  assertHeld(folder, 'another process');
  lock.release();
});

test('a path that cannot be a state folder is refused with the reason', (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  // Below /proc, nobody can create a folder.
  for (const path of [file, join(file, 'state'), ...(process.platform === 'linux' ? ['/proc/regindexer'] : [])]) {
    assert.throws(
      () => StateLock.acquire(path),
      (error) =>
        error instanceof StoreError &&
        error.code === 'unavailable' &&
        error.message.startsWith(`${path} cannot be used (E`),
    );
  }
  writeFileSync(join(folder, 'lock'), 'not a lock'.repeat(1000));
  assert.throws(
    () => StateLock.acquire(folder),
    (error) => error instanceof StoreError && error.message.startsWith(join(folder, 'lock')),
  );
});

test(
  'a folder of another user is reported as read-only',
  { skip: process.getuid?.() !== 0 && 'only root can be another user' },
  (t) => {
    const folder = temporaryFolder(t);
    chmodSync(folder, 0o755);
    const { stdout } = spawnSync(process.execPath, [join(import.meta.dirname, 'programs', 'open-state.ts'), folder], {
      encoding: 'utf8',
      uid: 65_534,
      gid: 65_534,
    });
    const errors = JSON.parse(stdout) as Record<string, { code: string; message: string }>;
    assert.equal(errors['lock']?.code, 'read-only');
    assert.match(errors['lock']?.message ?? '', /EACCES/);
    assert.equal(errors['store']?.code, 'read-only');
    assert.ok(!existsSync(join(folder, 'lock')));
  },
);
