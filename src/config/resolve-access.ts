/** Works out from the environment how registries are reached. */
import { join, resolve } from 'node:path';
import type { AccessConfig } from './config.ts';
import type { Environment } from './replace-variables.ts';

/** Logins as containers-auth.json(5) looks for them; proxies as most programs do, whose variables may also be in lower case. */
export function resolveAccess(environment: Environment): AccessConfig {
  const value = (...names: readonly string[]): string | undefined => names.map((name) => environment[name]).find((found) => found !== undefined && found !== '');
  const [authFile, runtime, home] = [value('REGISTRY_AUTH_FILE'), value('XDG_RUNTIME_DIR'), value('HOME')];
  return {
    authFiles: [
      ...(authFile === undefined ? [] : [{ path: resolve(authFile), required: true }]),
      ...(runtime === undefined ? [] : [{ path: join(runtime, 'containers/auth.json'), required: false }]),
      ...(home === undefined ? [] : [{ path: join(home, '.docker/config.json'), required: false }]),
    ],
    proxies: {
      http: value('HTTP_PROXY', 'http_proxy'),
      https: value('HTTPS_PROXY', 'https_proxy'),
      none: value('NO_PROXY', 'no_proxy'),
    },
  };
}
