/** Finds the keys whose change takes effect only at the next start. */
import type { Config } from './config.ts';

/** The configuration in effect, and the keys whose change is pending. */
export interface Kept {
  readonly config: Config;
  readonly keys: readonly string[];
}

/**
 * `written` with what cannot change while the server runs as it is in `running`: the state, which is locked; the
 * database; where it listens, and whether with TLS.
 */
export function keptUntilRestart(running: Config, written: Config): Kept {
  const {
    stateDir,
    store,
    server: { host, port, tls },
  } = running;
  const { tls: writtenTls, ...writtenServer } = written.server;
  const shown = (tls === undefined) === (writtenTls === undefined) ? writtenTls : tls;
  const config: Config = {
    ...written,
    stateDir,
    store,
    server: { ...writtenServer, host, port, ...(shown && { tls: shown }) },
  };
  const values: Readonly<Record<string, readonly [kept: unknown, written: unknown]>> = {
    state_dir: [stateDir, written.stateDir],
    store: [JSON.stringify(store), JSON.stringify(written.store)],
    'server.host': [host, written.server.host],
    'server.port': [port, written.server.port],
    'server.tls': [shown, writtenTls],
  };
  return { config, keys: Object.keys(values).filter((key) => values[key]?.[0] !== values[key]?.[1]) };
}
