/** `regindexer export`: one rebuild of everything, then all of it as plain files. */
import { resolve } from 'node:path';
import type { Logger } from 'pino';
import { signedReferences } from '../config/client-references.ts';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/problems.ts';
import { OCI_IMAGE_MANIFEST } from '../registry/media-types.ts';
import { DEFAULT_TAG } from '../registry/reference.ts';
import { amount } from '../system/amount.ts';
import { joinNames } from '../system/join-names.ts';
import { type CommandOptions, type Configure, FAILURE, SUCCESS } from './command.ts';
import { indexOnce, LOG_INTERVAL } from './index-command.ts';

/**
 * Rebuilds all indexes once, writes them to a folder, and returns the exit status.
 * @param acceptLosses removes at once what registries say is gone, however much that is
 * @throws ConfigError if the public URL is not configured
 */
export async function runExport(
  configure: Configure,
  { acceptLosses = false, tag = DEFAULT_TAG, images = false }: CommandOptions,
  path = '.',
): Promise<number> {
  const { config: configured, logger } = await configure();
  // Only one process can write the files, so that a database for several would be of no use.
  if (configured.store !== undefined)
    logger.warn('an export does not use the database of store: it keeps its state in state_dir');
  const config: Config = { ...configured, store: undefined };
  const clients = forClients(config, images);
  for (const warning of warningsOf(clients, images)) logger.warn(warning);
  for (const [index, reference] of signedReferences(clients))
    logger.info({ index }, `signatures must have the docker-reference ${reference}`);
  const folder = resolve(path);
  const afterwards = async (signal: AbortSignal): Promise<void> => {
    const { exportFiles } = await import('../app/export-files.ts');
    const result = await exportFiles(config, logger, {
      tag,
      folder,
      images,
      onProgress: copyProgress(logger),
      signal,
    });
    if (result.untyped.length > 0)
      logger.warn(
        `the host must send the manifests of ${joinNames(result.untyped)} with the Content-Type ${OCI_IMAGE_MANIFEST}, which they do not say themselves; _headers has it for hosts that read it`,
      );
    if (result.empty.length > 0)
      logger.warn(`no Flatpak in ${joinNames(result.empty)} has the tag ${tag}; choose another one with --tag`);
    const { named, written, removed } = result;
    process.stdout.write(`${folder}: ${amount(named, 'file')}, ${written} written, ${removed} removed\n`);
  };
  return (await indexOnce(config, logger, { acceptLosses, afterwards })) ? SUCCESS : FAILURE;
}

/**
 * Returns the configuration as clients of the files see it: exported images are at the public URL.
 * @throws ConfigError
 */
function forClients(config: Config, images: boolean): Config {
  const { baseUrl } = config.server;
  if (baseUrl === undefined)
    throw new ConfigError([
      {
        file: config.file,
        line: 1,
        column: 1,
        path: 'server.base_url',
        message:
          'is needed by an export, expected the URL that the files will be at, such as https://owner.github.io/repo',
      },
    ]);
  if (!images) return config;
  return { ...config, indexes: config.indexes.map((index) => ({ ...index, registryPublic: `${baseUrl}/` })) };
}

/** Returns warnings about indexes whose images clients would ask the file host for in vain. */
function warningsOf({ indexes, server: { baseUrl } }: Config, images: boolean): readonly string[] {
  return indexes
    .filter(({ registryPublic }) => !images && registryPublic.replace(/\/*$/, '') === baseUrl)
    .map(
      ({ name }) =>
        `clients of the index ${name} will ask for its images at ${baseUrl}, where an export without --images has none; add it, or set indexes.${name}.registry_public`,
    );
}

/** Logs from time to time how many images were copied. */
function copyProgress(logger: Logger): (done: number, total: number) => void {
  let last = performance.now();
  return (done, total) => {
    if (performance.now() - last < LOG_INTERVAL) return;
    last = performance.now();
    logger.info({ done, total }, `${done} of ${amount(total, 'image')} copied`);
  };
}
