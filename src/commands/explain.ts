/** `regindexer explain`: says why each index shows the images of a repository, or does not. */
import { text } from 'node:stream/consumers';
import { explainAll } from '../app/explain-all.ts';
import { indexingOptions } from '../app/indexing-options.ts';
import type { Config } from '../config/config.ts';
import type { Explanation, ExplainSubject } from '../indexing/explain.ts';
import { FORMAT } from '../indexing/chunk/part.ts';
import { parseReference } from '../registry/reference.ts';
import { connectionOf } from '../store/postgres/connection.ts';
import { PostgresCatalog } from '../store/postgres/postgres-catalog.ts';
import { PostgresDatabase } from '../store/postgres/postgres-database.ts';
import { PostgresPublications } from '../store/postgres/postgres-publications.ts';
import { SqliteStore } from '../store/sqlite/sqlite-store.ts';
import { StateLock, StateLockedError } from '../store/state-lock.ts';
import { messageOf } from '../system/message-of.ts';
import { visible } from '../system/plain-line.ts';
import { askService } from './ask-service.ts';
import { type CommandOptions, type Configure, FAILURE, SUCCESS, WRONG_USAGE } from './command.ts';

/** Prints what each index shows of `reference`. */
export async function runExplain(configure: Configure, _: CommandOptions, reference = ''): Promise<number> {
  const { config, logger } = await configure();
  const subject = parseReference(reference);
  if (subject === undefined) {
    process.stderr.write(
      `regindexer: ${JSON.stringify(reference)} is not the name of a repository, expected REPOSITORY or REPOSITORY:TAG, such as apps/hello:latest\n`,
    );
    return WRONG_USAGE;
  }
  try {
    const explanations = await explanationsOf(subject, reference, config, (warning) => logger.warn(warning));
    process.stdout.write(explanations.map(describe).join(''));
    return SUCCESS;
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    process.stderr.write(`regindexer: ${error.message}\n`);
    return FAILURE;
  }
}

/** The running service did not answer. */
class NoAnswer extends Error {}

async function explanationsOf(
  subject: ExplainSubject,
  reference: string,
  config: Config,
  onWarning: (warning: string) => void,
): Promise<readonly Explanation[]> {
  const options = indexingOptions(config);
  if (config.store !== undefined) {
    const database = new PostgresDatabase(connectionOf(config.store));
    try {
      const catalog = await PostgresCatalog.open(database);
      return await explainAll(subject, options, { catalog, publications: new PostgresPublications(database, FORMAT) });
    } finally {
      await database.close();
    }
  }
  let lock: StateLock;
  try {
    lock = StateLock.acquire(config.stateDir);
  } catch (error) {
    if (!(error instanceof StateLockedError)) throw error;
    return askExplanations(reference, config, error);
  }
  try {
    const store = SqliteStore.open(config.stateDir, onWarning);
    try {
      return await explainAll(subject, options, store);
    } finally {
      await store.close();
    }
  } finally {
    lock.release();
  }
}

/**
 * Asks the service that has the state open.
 * @throws NoAnswer that says what to do
 */
async function askExplanations(
  reference: string,
  config: Config,
  locked: StateLockedError,
): Promise<readonly Explanation[]> {
  const { adminToken } = config.server;
  if (adminToken === undefined)
    throw new NoAnswer(`${locked.message}; or set server.admin_token, with which the running service can be asked`);
  try {
    const answer = await askService(config, `/status/explain?reference=${encodeURIComponent(reference)}`, {
      authorization: `Bearer ${adminToken}`,
    });
    const body = JSON.parse(await text(answer)) as { readonly message?: string; readonly indexes?: Explanation[] };
    if (body.indexes === undefined) throw new Error(body.message ?? `it answered ${answer.statusCode}`);
    return body.indexes;
  } catch (error) {
    throw new NoAnswer(`the running service could not be asked: ${messageOf(error)}`);
  }
}

function describe({ index, shown, reasons, images }: Explanation): string {
  const shownImages = images.filter((image) => image.shown).length;
  const lines = [
    shown ? `${index}: shows ${shownImages} of ${images.length} images` : `${index}: shows nothing`,
    ...reasons.map((reason) => `  ${reason}`),
    ...images.flatMap((image) => [
      `  ${image.tags.join(', ')} for ${image.architecture}, ${image.ref || 'not a Flatpak'}, ${image.digest}: ${image.shown ? 'shown' : 'not shown'}`,
      ...image.reasons.map((reason) => `    ${reason}`),
    ]),
  ];
  return lines.map((line) => `${visible(line.replaceAll('\n', ' '))}\n`).join('');
}
