/**
 * The parts of undici that are used here. What it exports at once brings fetch, WebSockets, mocks and caches too: to load these takes
 * longer than all else that a short run does before its first request. The files are no public names of it, so its version is fixed.
 */
import { createRequire } from 'node:module';
import type { buildConnector as BuildConnector, Dispatcher, Agent as UndiciAgent, Pool as UndiciPool } from 'undici';

const require = createRequire(import.meta.url);

/** What these classes have without the rest of undici. */
export type Dispatching = Pick<Dispatcher, 'dispatch'> & { destroy(): Promise<void> };

export const Agent = require('undici/lib/dispatcher/agent.js') as new (options: UndiciAgent.Options) => Dispatching;
export const Pool = require('undici/lib/dispatcher/pool.js') as new (origin: string, options: UndiciPool.Options) => Dispatching;
export const buildConnector = require('undici/lib/core/connect.js') as typeof BuildConnector;
/** Asks for a tunnel (CONNECT). */
export const connect = require('undici/lib/api/api-connect.js') as (this: Dispatching, options: Omit<Dispatcher.ConnectOptions, 'origin'>) => Promise<Dispatcher.ConnectData>;
