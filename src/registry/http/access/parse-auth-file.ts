/** Reads auth files, as `skopeo login` and `docker login` write them (containers-auth.json(5)). */
import { isJsonObject, type JsonObject } from '../../../system/is-json-object.ts';
import { malformed, optionalObject, parseJsonObject } from '../../json-object.ts';
import { basicLogin, identityLogin, type Login } from './login.ts';
import { parsePlace } from './registry-names.ts';

/** The content of an auth file for one registry. */
export interface AuthFileEntry {
  /** Logins by repository or folder of repositories; `''` for the whole registry. */
  readonly logins: ReadonlyMap<string, Login>;
  /** The credential helper of this registry: NAME of `docker-credential-NAME`, and the registry's name in it. */
  readonly helper: { readonly name: string; readonly server: string } | undefined;
  /** NAME of the credential helper of registries without one of their own. */
  readonly store: string | undefined;
}

/**
 * Parses an auth file.
 * @param registry as `registryName` returns it
 * @throws RegistryError `malformed` if it is not an auth file. No message quotes its content.
 */
export function parseAuthFile(bytes: Uint8Array, registry: string, defaultPort: string): AuthFileEntry {
  const { auths, credHelpers, credsStore } = parseJsonObject(bytes);
  const logins = new Map<string, Login>();
  for (const [key, value] of Object.entries(optionalObject(auths, 'auths'))) {
    const place = parsePlace(key, defaultPort);
    if (place.registry !== registry) continue;
    if (!isJsonObject(value)) throw malformed('an entry of auths', 'an object');
    const login = loginOf(value);
    // A plain name takes precedence over an old key that is a URL.
    if (login !== undefined && (!logins.has(place.path) || !/^https?:/i.test(key))) logins.set(place.path, login);
  }
  return {
    logins,
    helper: helperOf(optionalObject(credHelpers, 'credHelpers'), registry, defaultPort),
    store: programName(credsStore, 'credsStore'),
  };
}

/**
 * The login of an entry; `undefined` for empty ones, which tools leave behind. The user name may be empty, as with
 * tokens.
 */
function loginOf({ auth, username, password, identitytoken }: JsonObject): Login | undefined {
  if (typeof identitytoken === 'string' && identitytoken !== '') return identityLogin(identitytoken);
  const [, name = username, secret = password] =
    typeof auth === 'string'
      ? (/^([^:]*):(.+)$/s.exec(Buffer.from(auth, 'base64').toString().replace(/\0+$/, '')) ?? [])
      : [];
  return typeof name === 'string' && typeof secret === 'string' && secret !== ''
    ? basicLogin({ username: name, password: secret })
    : undefined;
}

function helperOf(
  helpers: Readonly<Record<string, unknown>>,
  registry: string,
  defaultPort: string,
): AuthFileEntry['helper'] {
  for (const [server, value] of Object.entries(helpers)) {
    if (parsePlace(server, defaultPort).registry !== registry) continue;
    const name = programName(value, 'a value of credHelpers');
    if (name !== undefined) return { name, server };
  }
  return undefined;
}

/** The name of a credential helper, without path separators because it becomes part of a program's name. */
function programName(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string' || !/^[\w.+-]+$/.test(value))
    throw malformed(path, 'NAME of a credential helper docker-credential-NAME');
  return value;
}
