/** What the package gives to other programs: to read a configuration, and to serve by it. */
export { startService, type Service } from './app/service.ts';
export { ConfigError } from './config/config-error.ts';
export type { Config } from './config/config.ts';
export { readConfig } from './config/read-config.ts';
export { createLogger, type LoggerOptions } from './system/logger.ts';
