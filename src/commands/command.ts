/** What each command is given, and what it gives back. */
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';

/** Exit statuses. */
export const SUCCESS = 0;
export const FAILURE = 1;
export const WRONG_USAGE = 2;

/** Signals that end the process. */
export const TERMINATION_SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM'];

/** The configuration as it was read, and how it is read again. */
export interface Configured {
  readonly config: Config;
  readonly read: () => Config;
  /** Reads it again, and looks whether it can work on this machine. */
  readonly check: () => Promise<Config>;
  readonly logger: Logger;
}

/** Options of single commands. */
export interface CommandOptions {
  readonly online?: boolean;
  readonly acceptLosses?: boolean;
}

/** Reads the configuration that the command line names. @throws ConfigError */
export type Configure = () => Promise<Configured>;
