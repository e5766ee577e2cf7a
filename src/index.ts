/** Exports of the package: read a configuration, and start a service with it. */
export { startService, type Service } from './app/service.ts';
export { ConfigError } from './config/problems.ts';
export type { Config } from './config/config.ts';
export { readConfig } from './config/read-config.ts';
export { createLogger, type LoggerOptions } from './system/logger.ts';
