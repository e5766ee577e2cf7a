/** Auth files and credential helpers in a folder that is removed after the test. */
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { AuthFile } from '../../../../src/registry/http/access/access-options.ts';

/** A new folder. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'regindexer-access-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Replaces a file atomically, as `skopeo login` does. */
export function replaceFile(path: string, content: unknown): void {
  writeFileSync(`${path}.new`, typeof content === 'string' ? content : JSON.stringify(content));
  renameSync(`${path}.new`, path);
}

/** Writes an auth file. */
export function writeAuthFile(t: TestContext, content: unknown): AuthFile {
  const path = join(temporaryFolder(t), 'auth.json');
  replaceFile(path, content);
  return { path, required: true };
}

/** The entry of an auth file for a user and password. */
export function entry(username: string, password = 'password'): { auth: string } {
  return { auth: btoa(`${username}:${password}`) };
}

/** Makes a credential helper of a shell script, which gets the server's name in `$SERVER`. Returns its folder. */
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
