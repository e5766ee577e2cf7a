/** Reads files with logins, as `skopeo login` and `docker login` write them (containers-auth.json(5)). */
import { isJsonObject, malformed, optionalObject, parseJsonObject, type JsonObject } from '../../json-object.ts';
import { basicLogin, identityLogin, type Login } from './login.ts';
import { parsePlace } from './registry-names.ts';

/** What a file says about one registry. */
export interface AuthFileEntry {
  /** By repository or folder of repositories; `''` for the whole registry. */
  readonly logins: ReadonlyMap<string, Login>;
  /** NAME of the program `docker-credential-NAME` that keeps this registry's login, and what the registry is called there. */
  readonly helper: { readonly name: string; readonly server: string } | undefined;
  /** NAME of the program that keeps the logins of all registries without one of their own. */
  readonly store: string | undefined;
}

/**
 * @param registry as `registryName` gives it
 * @throws RegistryError `malformed` for what is no such file. No message quotes anything of it.
 */
export function parseAuthFile(bytes: Uint8Array, registry: string, defaultPort: string): AuthFileEntry {
  const { auths, credHelpers, credsStore } = parseJsonObject(bytes);
  const logins = new Map<string, Login>();
  for (const [key, value] of Object.entries(optionalObject(auths, 'auths'))) {
    const place = parsePlace(key, defaultPort);
    if (place.registry !== registry) continue;
    if (!isJsonObject(value)) throw malformed('an entry of auths', 'an object');
    const login = loginOf(value);
    // A key that says the name in full is meant more than an old one that is a URL.
    if (login !== undefined && (!logins.has(place.path) || !/^https?:/i.test(key))) logins.set(place.path, login);
  }
  return { logins, helper: helperOf(optionalObject(credHelpers, 'credHelpers'), registry, defaultPort), store: programName(credsStore, 'credsStore') };
}

/** Programs leave entries without a login behind, which say nothing. The user may have no name: some registries know tokens alone. */
function loginOf({ auth, username, password, identitytoken }: JsonObject): Login | undefined {
  if (typeof identitytoken === 'string' && identitytoken !== '') return identityLogin(identitytoken);
  const [, name = username, secret = password] = typeof auth === 'string' ? (/^([^:]*):(.+)$/s.exec(Buffer.from(auth, 'base64').toString().replace(/\0+$/, '')) ?? []) : [];
  return typeof name === 'string' && typeof secret === 'string' && secret !== '' ? basicLogin({ username: name, password: secret }) : undefined;
}

function helperOf(helpers: Readonly<Record<string, unknown>>, registry: string, defaultPort: string): AuthFileEntry['helper'] {
  for (const [server, value] of Object.entries(helpers)) {
    if (parsePlace(server, defaultPort).registry !== registry) continue;
    const name = programName(value, 'a value of credHelpers');
    if (name !== undefined) return { name, server };
  }
  return undefined;
}

/** Part of the name of a program, and so no path. */
function programName(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string' || !/^[\w.+-]+$/.test(value)) throw malformed(path, 'NAME of a program docker-credential-NAME');
  return value;
}
