import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import dockerfileUtils from 'dockerfile-utils';
import { version } from '../src/system/version.ts';
import { configOf, INDEX } from './config/config-file.ts';

const read = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const dockerfile = read('Dockerfile');

test('the Dockerfile is well formed', () => {
  assert.deepEqual(dockerfileUtils.validate(dockerfile), []);
});

test('what the Dockerfile copies is all that is sent to the builder', () => {
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) =>
    sources.split(' '),
  );
  const sent = [...read('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, path = '']) => path);
  assert.deepEqual(new Set(sent), new Set(copied));
});

test('the image is labelled with the version that is in it', () => {
  assert.match(dockerfile, new RegExp(`org\\.opencontainers\\.image\\.version="${version.replaceAll('.', '\\.')}"`));
});

test('a configuration needs no changes: its state is in the volume, and it listens where the container is reached', (t) => {
  const environment = Object.fromEntries(
    Array.from(dockerfile.matchAll(/^ENV (.+)$/gm), ([, variables = '']) => variables.split(' '))
      .flat()
      .map((variable) => variable.split('=')),
  ) as Record<string, string>;
  const { stateDir, server } = configOf(t, INDEX, { environment });
  assert.equal(stateDir, /^VOLUME (.+)$/m.exec(dockerfile)?.[1]);
  assert.equal(server.host, '0.0.0.0');
  assert.equal(String(server.port), /^EXPOSE (.+)$/m.exec(dockerfile)?.[1]);
});
