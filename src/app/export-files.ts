/** Exports what a configuration serves as plain files. */
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { exportSite, type ExportResult } from '../export/export-site.ts';
import type { CopyOptions } from '../export/image-files.ts';
import { createRegistrySource } from '../registry/create-registry-source.ts';
import { describeSent } from '../registry/http/transport/sent-request.ts';
import { Figures } from '../server/figures.ts';
import { Server } from '../server/server.ts';
import { programHash } from '../system/program-hash.ts';
import { version } from '../system/version.ts';
import { Generation } from './generation.ts';
import { registryOptions } from './indexing-options.ts';

/** Options of {@link exportFiles}. */
export interface ExportFilesOptions extends CopyOptions {
  /** The images with this tag are exported. */
  readonly tag: string;
  /** Path of the folder. */
  readonly folder: string;
  /** Exports images too. */
  readonly images: boolean;
}

/**
 * Writes the files of all indexes, as they were last built in `stateDir`, whose lock the caller holds.
 * @param config has a `baseUrl`
 */
export async function exportFiles(
  config: Config,
  logger: Logger,
  { images, ...options }: ExportFilesOptions,
): Promise<ExportResult> {
  const {
    server: { baseUrl = '', maxAge },
    registries,
    access,
    cleanFilesAfter,
  } = config;
  const figures = new Figures();
  await using opened = new AsyncDisposableStack();
  const generation = await Generation.open({
    config,
    logger,
    figures,
    onDefaultIndexReady: () => undefined,
    replica: undefined,
  });
  opened.defer(() => generation.close());
  const sources = new Map(
    [...(images ? registries.values() : [])].map((registry) => [
      registry.id,
      createRegistrySource(registryOptions(registry, access), (request) =>
        logger.debug({ ...request }, describeSent(request)),
      ),
    ]),
  );
  opened.defer(async () => void (await Promise.all([...sources.values()].map((source) => source.close()))));
  // Awaited here, so that all is closed after it.
  return await exportSite({
    ...options,
    site: generation.site,
    baseUrl,
    indexes: config.indexes.map((index) => ({
      ...index,
      maxAge,
      registry: images ? `${baseUrl}/` : undefined,
      images: sources.get(index.registry),
    })),
    cleanFilesAfter,
    program: await programHash(),
    createServer: (site) =>
      Server.create(
        { logger: logger.child({}, { level: 'warn' }), figures, version, startedAt: Date.now(), tls: undefined },
        site,
      ),
  });
}
