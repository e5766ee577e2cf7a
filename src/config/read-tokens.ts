/** Finds the bearer tokens that protect routes. */
import type { Incomplete } from './incomplete.ts';
import type { ProblemList } from './problem-list.ts';
import { TOKEN_CHARACTERS, isBearerToken } from './rules.ts';
import type { ConfigFile } from './schema.ts';
import { readTextFile } from './text-file.ts';

/** The tokens; `undefined` where none is configured. */
export interface Tokens {
  readonly adminToken: string | undefined;
  readonly eventsToken: string | undefined;
}

const LIMIT = 16 * 1024;

/** The tokens of the configuration or of the files that it names, trimmed; adds a problem for each file that holds none. */
export function readTokens(server: Incomplete<ConfigFile['server']>, problems: ProblemList): Tokens {
  return {
    adminToken: server.admin_token ?? readToken('admin_token_file', server.admin_token_file, problems),
    eventsToken: server.events_token ?? readToken('events_token_file', server.events_token_file, problems),
  };
}

function readToken(key: string, file: string | undefined, problems: ProblemList): string | undefined {
  if (file === undefined) return undefined;
  const read = readTextFile(file, LIMIT);
  const token = 'text' in read ? read.text.trim() : undefined;
  if (token !== undefined && isBearerToken(token)) return token;
  const fault = 'fault' in read ? read.fault : token === '' ? 'is empty' : 'holds no token';
  problems.add(['server', key], `names a file that ${fault}, expected a token of ${TOKEN_CHARACTERS}`);
  return undefined;
}
