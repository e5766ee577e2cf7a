/** Works out from the environment how registries are reached. */
import { join, resolve } from 'node:path';
import type { AccessConfig } from './config.ts';
import type { Environment } from './replace-variables.ts';

/**
 * Logins as containers-auth.json(5) and Docker look for them; proxies as most programs do, whose variables may also be in lower case.
 * @param uid of the user who runs the program; `undefined` where users have none
 */
export function resolveAccess(environment: Environment, uid = process.getuid?.()): AccessConfig {
  const value = (...names: readonly string[]): string | undefined => names.map((name) => environment[name]).find((found) => found !== undefined && found !== '');
  const [authFile, runtime, home] = [value('REGISTRY_AUTH_FILE'), value('XDG_RUNTIME_DIR'), value('HOME')];
  const inHome = (folder: string): string | undefined => home && join(home, folder);
  const [config, docker] = [value('XDG_CONFIG_HOME') ?? inHome('.config'), value('DOCKER_CONFIG') ?? inHome('.docker')];
  const searched = [
    runtime === undefined ? uid !== undefined && `/run/containers/${uid}/auth.json` : join(runtime, 'containers/auth.json'),
    config !== undefined && join(config, 'containers/auth.json'),
    docker !== undefined && join(docker, 'config.json'),
  ];
  return {
    authFiles: [
      ...(authFile === undefined ? [] : [{ path: resolve(authFile), required: true }]),
      ...searched.filter((path) => path !== false).map((path) => ({ path: resolve(path), required: false })),
    ],
    proxies: {
      http: value('HTTP_PROXY', 'http_proxy'),
      https: value('HTTPS_PROXY', 'https_proxy'),
      none: value('NO_PROXY', 'no_proxy'),
    },
  };
}
