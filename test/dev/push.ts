/**
 * `npm run dev:push [-- REPOSITORY [VERSION]]`: pushes a new version of a sample to the running environment, and waits
 * until the index has it.
 */
import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestsIn, indexOf } from '../e2e/ask-server.ts';
import { eventually } from '../e2e/eventually.ts';
import { makeSample, SAMPLE_REPOSITORIES } from '../fixtures/samples.ts';
import { requirePrograms } from '../peers/installed.ts';
import { copyImage } from '../peers/skopeo.ts';
import { runningEnvironment } from './environment.ts';
import { runAsCommand } from './run-as-command.ts';

const [
  wanted = 'apps/hello',
  version = new Date()
    .toISOString()
    .replace(/\D/g, '')
    .replace(/^(\d{8})(\d{6}).*/, '$1.$2'),
] = process.argv.slice(2);

async function push(): Promise<void> {
  const repository = SAMPLE_REPOSITORIES.find((name) => name === wanted);
  if (repository === undefined)
    throw new Error(`there is no sample ${wanted}; expected one of ${SAMPLE_REPOSITORIES.join(', ')}`);
  requirePrograms('flatpak', 'gcc', 'rsvg-convert', 'skopeo');
  const { url, registry } = await runningEnvironment();
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-push-'));
  const layout = await makeSample(repository, version, folder.path);
  const digest = await copyImage({ from: `oci:${layout}`, to: `${registry}/${repository}:latest` });
  const pushed = performance.now();
  console.log(`Pushed ${version} of ${repository} to ${registry}: ${digest}`);
  await eventually(async () =>
    assert.ok(digestsIn(await indexOf(url), repository).includes(digest), `${url} has not got it`),
  );
  console.log(`It was in the index at ${url} after ${Math.round(performance.now() - pushed)} ms`);
}

await runAsCommand(push);
