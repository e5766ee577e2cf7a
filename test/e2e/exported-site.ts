/** Runs `regindexer export` for a host of plain files. */
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { bareEnvironment } from '../peers/peer.ts';
import { CLI } from '../peers/regindexer.ts';
import { commandResult, type CommandResult } from '../peers/run-command.ts';
import { startFileHost, type FileHost } from './file-host.ts';

export interface ExportedSite extends AsyncDisposable {
  /** Folder of the exported files. */
  readonly folder: string;
  readonly host: FileHost;
  /** Path of the configuration. */
  readonly config: string;
  /** Exports, with more arguments. */
  run(...args: readonly string[]): Promise<CommandResult>;
  /**
   * Exports as {@link run} does.
   * @throws Error with all output unless it succeeds
   */
  export(...args: readonly string[]): Promise<CommandResult>;
}

export interface HostOptions {
  /** Path that the files are served below. */
  readonly path?: string;
  /** See {@link startFileHost}; `true` if absent. */
  readonly readsHeaders?: boolean;
}

/**
 * Starts a host, and prepares a configuration for it; nothing is exported yet.
 * @param config sections of the configuration
 */
export async function startExportedSite(
  config: object,
  { path = '', readsHeaders = true }: HostOptions = {},
): Promise<ExportedSite> {
  await using started = new AsyncDisposableStack();
  const { path: root } = started.use(await mkdtempDisposable(join(tmpdir(), 'regindexer-export-')));
  const folder = join(root, 'site');
  const host = started.use(await startFileHost(folder, path, readsHeaders));
  const file = join(root, 'config.yaml');
  await writeFile(file, stringify({ state_dir: './state', server: { base_url: host.url, max_age: 0 }, ...config }));
  const run = (...args: readonly string[]): Promise<CommandResult> =>
    commandResult(process.execPath, [CLI, '-c', file, 'export', folder, ...args], { env: bareEnvironment(root) });
  const resources = started.move();
  return {
    folder,
    host,
    config: file,
    run,
    export: async (...args) => {
      const result = await run(...args);
      if (result.code !== 0) throw new Error(`export failed with ${result.code}:\n${result.stdout}${result.stderr}`);
      return result;
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
