/** Inputs and exit statuses of the commands. */
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';

/** Exit status of a command that did all it was asked for. */
export const SUCCESS = 0;
/** Exit status of a command that could not do something. */
export const FAILURE = 1;
/** Exit status for an invalid command line or configuration. */
export const WRONG_USAGE = 2;

/** Signals that end the process. */
export const TERMINATION_SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM'];

/** The configuration, and functions that read it again. */
export interface Configured {
  readonly config: Config;
  /** Reads it again. */
  readonly read: () => Config;
  /** Reads it again, and checks that it can work on this machine. */
  readonly check: () => Promise<Config>;
  readonly logger: Logger;
}

/** Options of commands; each command has some of them. */
export interface CommandOptions {
  readonly online?: boolean;
  readonly acceptLosses?: boolean;
  readonly tag?: string;
  readonly images?: boolean;
  readonly apply?: boolean;
}

/** Runs a command with its options and arguments; returns the exit status. */
export type Run = (configure: Configure, options: CommandOptions, ...args: readonly string[]) => Promise<number>;

/**
 * Reads the configuration that the command line names.
 * @throws ConfigError
 */
export type Configure = () => Promise<Configured>;
