/** The state of a server with 50,000 images in 4 indexes. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { NODE_OPTIONS } from './cli.ts';
import type { MeasuredRun } from './measured-run.ts';
import { measuredRun } from './measured-run.ts';
import { NO_REGISTRY } from './random-state.ts';

export const LARGE_REPOSITORIES = 12_500;
export const LARGE_IMAGES = 4 * LARGE_REPOSITORIES;

export const LARGE_INDEXES = {
  all: { extract_icons: true },
  stable: { extract_icons: true, tags: ['stable'] },
  arm64: { extract_icons: true, architectures: ['arm64'] },
  inline: { tags: ['latest'], architectures: ['amd64'] },
};

const INDEX_RANDOM = fileURLToPath(new URL('./index-random.ts', import.meta.url));

export interface LargeState {
  /** The configuration (YAML) that serves it, wherever it is written. */
  readonly config: string;
  /** The process that built it; it printed its `RebuildResult`. */
  readonly built: MeasuredRun;
}

/** What it costs to make up the registry that the state is built from. */
export function largeSource(): Promise<MeasuredRun> {
  return measuredRun([...NODE_OPTIONS, INDEX_RANDOM, 'source', String(LARGE_REPOSITORIES)]);
}

/** Builds the state in `folder`. */
export async function buildLargeState(folder: string): Promise<LargeState> {
  process.stderr.write('building 50,000 images into 4 indexes\n');
  const config = stringify({
    state_dir: join(folder, 'state'),
    indexes: Object.fromEntries(
      Object.entries(LARGE_INDEXES).map(([name, index]) => [name, { registry: NO_REGISTRY, ...index }]),
    ),
    server: { port: 0 },
  });
  const file = join(folder, 'config.yaml');
  await writeFile(file, config);
  return {
    config,
    built: await measuredRun([...NODE_OPTIONS, INDEX_RANDOM, 'build', String(LARGE_REPOSITORIES), file]),
  };
}
