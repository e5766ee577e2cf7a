/** Tests of the workflow for GitHub. */
import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { version } from '../../src/system/version.ts';
import { readPage } from '../markdown.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { workflowFaults } from '../github-workflow.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { CLI } from '../peers/regindexer.ts';
import { runCommand } from '../peers/run-command.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const FILE = resolve(ROOT, 'deploy/ci/regindexer.yml');

interface WorkflowJson {
  readonly on: {
    readonly workflow_call: { readonly inputs: Readonly<Record<string, { readonly default: string | boolean }>> };
  };
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly steps: readonly {
          readonly name?: string;
          readonly uses?: string;
          readonly if?: string;
          readonly run?: string;
          readonly with?: Readonly<Record<string, string>>;
        }[];
      }
    >
  >;
}

test('the workflow is one that GitHub accepts', async () => {
  assert.deepEqual(await workflowFaults(await readFile(FILE, 'utf8')), []);
});

test('it runs this version, and its command exports into the folder that is published', async () => {
  const { on, jobs } = parse(await readFile(FILE, 'utf8')) as WorkflowJson;
  const { run = '' } = jobs['export']?.steps.find(({ name }) => name === 'Export') ?? {};
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-workflow-'));
  const config = String(on.workflow_call.inputs['config']?.default);
  await writeFile(
    join(folder.path, config),
    stringify({
      indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}` } },
      state_dir: '.regindexer',
      server: { base_url: 'https://owner.github.io/repo' },
    }),
  );
  const program = `npx --yes regindexer@${version} `;
  assert.ok(run.includes(`\n${program}`));
  const [, gitlab = ''] = /script: \[(.*)\]/.exec(readPage('docs/export.md')) ?? [];
  assert.ok(gitlab.startsWith(program));
  await runCommand('sh', ['-c', run.replace(program, `'${process.execPath}' '${CLI}' `)], {
    cwd: folder.path,
    env: { ...bareEnvironment(folder.path), CONFIG: config, ARGUMENTS: '--images --tag latest' },
  });
  for (const path of ['site/index/static', 'site/v2/apps/hello', '.regindexer/store'])
    await stat(join(folder.path, path));
});

test('it logs in only if that is asked for', async () => {
  const { on, jobs } = parse(await readFile(FILE, 'utf8')) as WorkflowJson;
  assert.equal(on.workflow_call.inputs['login']?.default, false);
  const logins = jobs['export']?.steps.filter(({ run }) => run?.includes('docker login'));
  assert.deepEqual(
    logins?.map((step) => step.if),
    ['inputs.login'],
  );
});

test('Dependabot updates the actions of all workflows', async () => {
  const { version: format, updates } = parse(await readFile(resolve(ROOT, '.github/dependabot.yml'), 'utf8')) as {
    readonly version: number;
    readonly updates: readonly { readonly 'package-ecosystem': string; readonly directories: readonly string[] }[];
  };
  assert.equal(format, 2);
  const actions = updates.find((update) => update['package-ecosystem'] === 'github-actions');
  assert.deepEqual(actions?.directories, ['/', `/${dirname(relative(ROOT, FILE))}`]);
});

test('what was read is kept for the next run, also if the export fails', async () => {
  const { jobs } = parse(await readFile(FILE, 'utf8')) as WorkflowJson;
  const steps = jobs['export']?.steps ?? [];
  const placeOf = (action: string): number => steps.findIndex(({ uses }) => uses?.startsWith(`${action}@`));
  const [restored, exported, saved] = [
    placeOf('actions/cache/restore'),
    steps.findIndex(({ name }) => name === 'Export'),
    placeOf('actions/cache/save'),
  ];
  assert.ok(restored >= 0 && restored < exported && exported < saved, 'the cache is restored before, and saved after');
  // actions/cache alone saves nothing after a failure.
  assert.equal(placeOf('actions/cache'), -1);
  assert.equal(steps[saved]?.if, 'always()');
  assert.equal(steps[saved]?.with?.['path'], steps[restored]?.with?.['path']);
  const { cache } = parse(/```yaml\npages:\n([^]*?)```/.exec(readPage('docs/export.md'))?.[1] ?? '') as {
    readonly cache: { readonly when?: string };
  };
  assert.equal(cache.when, 'always');
});
