/** `regindexer serve`: serves the indexes, and rebuilds them in the background. */
import { isatty } from 'node:tty';
import { type Configure, FAILURE, SUCCESS, TERMINATION_SIGNALS } from './command.ts';

const STANDARD_INPUT = 0;

/** Serves until SIGINT or SIGTERM; SIGHUP reloads the configuration. */
export async function serve(configure: Configure): Promise<number> {
  const { promise: hungUp, resolve: onFirst } = Promise.withResolvers<void>();
  let onHangUp: () => void = onFirst;
  process.on('SIGHUP', () => onHangUp());
  // Until the service runs: process 1 of a container receives no signal that it does not handle.
  for (const signal of TERMINATION_SIGNALS) process.on(signal, endAtOnce);
  const { config, read, logger } = await configure();
  const [{ startService }, { default: closeWithGrace }, { installLines }] = await Promise.all([
    import('../app/service.ts'),
    import('close-with-grace'),
    import('./install-lines.ts'),
  ]);
  const service = await startService(config, logger);
  const stopped = new Promise<number>((resolve) => {
    closeWithGrace({ delay: 15_000, logger, skip: ['SIGHUP'] }, async ({ err, signal }) => {
      if (err) logger.fatal({ err }, 'stopping after an unexpected error');
      else logger.info({ signal }, 'stopping');
      await service.close();
      resolve(err ? FAILURE : SUCCESS);
    });
    for (const signal of TERMINATION_SIGNALS) process.off(signal, endAtOnce);
  });
  const fromTerminal = isatty(STANDARD_INPUT);
  onHangUp = () => {
    // The terminal that it was started from was closed.
    if (fromTerminal && !isatty(STANDARD_INPUT)) process.kill(process.pid, 'SIGTERM');
    else void service.reload(read);
  };
  // A SIGHUP may have come before the service ran.
  void hungUp.then(onHangUp);
  const { url, address } = service;
  logger.info({ url }, url === address ? `Serving at ${url}` : `Serving at ${url}, listening at ${address}`);
  if (process.stderr.isTTY) {
    // The lines name an app of the index, so they wait for it.
    void service.defaultIndexReady
      .then(async () => logger.info(await installLines(service, config)))
      .catch((error: unknown) =>
        logger.warn({ err: error }, 'the lines that install from the index could not be made'),
      );
  }
  return stopped;
}

function endAtOnce(): void {
  process.exit(SUCCESS);
}
