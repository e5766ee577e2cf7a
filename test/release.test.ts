/** Tests of the workflow that publishes a release. */
import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { version } from '../src/system/version.ts';
import { workflowFaults } from './github-workflow.ts';
import { bareEnvironment } from './peers/peer.ts';
import { runCommand } from './peers/run-command.ts';

const ROOT = resolve(import.meta.dirname, '..');
const TEXT = await readFile(join(ROOT, '.github/workflows/release.yml'), 'utf8');

interface Job {
  readonly needs?: string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly steps: readonly {
    readonly name?: string;
    readonly uses?: string;
    readonly run?: string;
    readonly with?: Readonly<Record<string, unknown>>;
  }[];
}

const { permissions, jobs } = parse(TEXT) as {
  readonly permissions: object;
  readonly jobs: Readonly<Record<string, Job>>;
};
const steps = Object.values(jobs).flatMap((job) => job.steps);

/** Runs the step `name` in the repository as GitHub does for `tag`; returns what it puts out. */
async function runStep(name: string, tag: string): Promise<string> {
  const { run = assert.fail(`no step ${name}`) } = steps.find((step) => step.name === name) ?? {};
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-release-'));
  const output = join(folder.path, 'output');
  await runCommand('bash', ['-e', '-o', 'pipefail', '-c', `: > "$GITHUB_OUTPUT"\n${run}`], {
    cwd: ROOT,
    env: bareEnvironment(folder.path, {
      GITHUB_OUTPUT: output,
      GITHUB_REF_NAME: tag,
      GITHUB_REPOSITORY: 'Example/Regindexer',
    }),
  });
  return readFile(output, 'utf8');
}

test('the workflow is one that GitHub accepts', async () => {
  assert.deepEqual(await workflowFaults(TEXT), []);
  assert.notDeepEqual(await workflowFaults(TEXT.replace('timeout-minutes', 'timeout')), []);
  assert.notDeepEqual(await workflowFaults(TEXT.replace('github.sha', 'gitlab.sha')), []);
});

test('a job may do only what it needs, and publishes only what was tested', () => {
  assert.deepEqual(permissions, {});
  const signing = { contents: 'read', 'id-token': 'write', attestations: 'write' };
  assert.deepEqual(
    Object.fromEntries(Object.entries(jobs).map(([name, job]) => [name, [job.needs, job.permissions]])),
    {
      test: [undefined, { contents: 'read' }],
      image: ['test', { ...signing, packages: 'write' }],
      package: ['test', signing],
    },
  );
  assert.doesNotMatch(TEXT, /secrets\./);
});

test('actions are pinned by their commits', () => {
  const uses = [...TEXT.matchAll(/uses: (.*)$/gm)].map(([, action = '']) => action);
  assert.equal(uses.length, steps.filter((step) => step.uses !== undefined).length);
  assert.deepEqual(
    uses.filter((action) => !/^[a-z]+\/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action)),
    [],
  );
});

test('scripts get texts of others as variables', () => {
  assert.deepEqual(
    steps.filter(({ run }) => run?.includes('${{')),
    [],
  );
});

test('the image and the package have provenance and an SBOM', () => {
  const build = steps.find(({ uses }) => uses?.startsWith('docker/build-push-action@'))?.with;
  assert.deepEqual([build?.['provenance'], build?.['sbom']], ['mode=max', true]);
  assert.equal(steps.filter(({ uses }) => uses?.startsWith('actions/attest@')).length, 2);
  assert.match(JSON.stringify(jobs['package']), /"sbom-path":.*npm publish --provenance/);
});

test('a tag must be the version', async () => {
  await runStep('The tag is the version', `v${version}`);
  await assert.rejects(runStep('The tag is the version', 'v9.9.9'));
});

test('an image has its version as a tag, and latest unless it is a preview', async () => {
  const image = 'ghcr.io/example/regindexer';
  assert.equal(await runStep('Names', 'v1.2.3'), `image=${image}\ntags=${image}:1.2.3,${image}:latest\n`);
  assert.equal(await runStep('Names', 'v1.2.3-rc.1'), `image=${image}\ntags=${image}:1.2.3-rc.1\n`);
});

test('the package is the latest unless it is a preview, which npm refuses without a tag', async () => {
  const { run = assert.fail('no step Publish') } = steps.find(({ name }) => name === 'Publish') ?? {};
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-release-'));
  const programs = join(folder.path, 'programs');
  await mkdir(programs);
  await writeFile(join(folder.path, 'regindexer-1.2.3.tgz'), '');
  await writeFile(join(programs, 'npm'), '#!/bin/sh\necho "$@" > arguments\n', { mode: 0o755 });
  for (const [ref, tag] of [
    ['v1.2.3', 'latest'],
    ['v1.2.3-rc.1', 'next'],
  ] as const) {
    const env = bareEnvironment(folder.path, { GITHUB_REF_NAME: ref });
    await runCommand('bash', ['-e', '-o', 'pipefail', '-c', run], {
      cwd: folder.path,
      env: { ...env, PATH: `${programs}:${env['PATH'] ?? ''}` },
    });
    assert.equal(
      await readFile(join(folder.path, 'arguments'), 'utf8'),
      `publish --provenance --access public --tag ${tag} ./regindexer-1.2.3.tgz\n`,
    );
  }
});
