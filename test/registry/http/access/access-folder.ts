/** Files with logins, and programs that keep them, in a folder that goes with the test. */
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { AuthFile } from '../../../../src/registry/http/access/access-options.ts';

/** A fresh folder. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'regindexer-access-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Puts `content` in the place of a file at once, as programs do that log in. */
export function replaceFile(path: string, content: unknown): void {
  writeFileSync(`${path}.new`, typeof content === 'string' ? content : JSON.stringify(content));
  renameSync(`${path}.new`, path);
}

/** A file with logins. */
export function writeAuthFile(t: TestContext, content: unknown): AuthFile {
  const path = join(temporaryFolder(t), 'auth.json');
  replaceFile(path, content);
  return { path, required: true };
}

/** The entry of a user and password. */
export function entry(username: string, password = 'password'): { auth: string } {
  return { auth: btoa(`${username}:${password}`) };
}

/** Makes a program `docker-credential-NAME` of a shell script, which finds what it was asked for in `$SERVER`; returns its folder. */
export function installHelper(t: TestContext, name: string, script: string): string {
  const folder = temporaryFolder(t);
  const program = join(folder, `docker-credential-${name}`);
  writeFileSync(program, `#!/bin/sh\nread -r SERVER\n${script}\n`);
  chmodSync(program, 0o755);
  const { PATH } = process.env;
  process.env['PATH'] = `${folder}:${PATH}`;
  t.after(() => {
    process.env['PATH'] = PATH;
  });
  return folder;
}
