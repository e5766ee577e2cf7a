/** Finds the login for each repository of a registry, in the configuration, auth files and credential helpers. */
import { readFile, stat } from 'node:fs/promises';
import { messageOf } from '../../../system/message-of.ts';
import { RegistryError } from '../../registry-error.ts';
import { registryKey } from '../../registry-id.ts';
import type { AccessOptions, AuthFile } from './access-options.ts';
import { askCredentialHelper, NoCredentialHelper } from './credential-helper.ts';
import { fileStamp } from './file-stamp.ts';
import { basicLogin, isSameLogin, type Login } from './login.ts';
import { parseAuthFile, type AuthFileEntry } from './parse-auth-file.ts';
import { defaultPortOf, registryName, serverNames } from './registry-names.ts';

/** The default of `checkedFor`, in milliseconds. */
const CHECKED_FOR = 10_000;
/** The shortest time between two renewals, in milliseconds: a registry may refuse thousands of requests at once. */
const RENEWED_FOR = 5_000;
const MAX_FILE_BYTES = 1024 * 1024;

/** Settings of {@link Keychain}. */
export interface KeychainOptions extends Pick<AccessOptions, 'credentials' | 'authFiles'> {
  /** The registry's URL. */
  readonly url: string;
  /** How long files are assumed to be unchanged, in milliseconds; 10 s if absent. */
  readonly checkedFor?: number | undefined;
}

/** The logins of one registry, reloaded when the auth files change. */
export class Keychain {
  readonly #configured: Login | undefined;
  readonly #files: readonly LoginFile[];
  readonly #checkedFor: number;
  #generation = 0;
  #checkedAt = Number.NEGATIVE_INFINITY;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #checking: Promise<void> | undefined;

  constructor({ url, credentials, authFiles = [], checkedFor = CHECKED_FOR }: KeychainOptions) {
    this.#checkedFor = checkedFor;
    this.#configured = credentials && basicLogin(credentials);
    this.#files = credentials ? [] : authFiles.map((file) => new LoginFile(file, url));
  }

  /** A number that changes whenever a login may have changed. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * The login for a repository, or for the catalog if `undefined`; a promise if files must be checked first.
   * @throws RegistryError `unavailable` if a login cannot be read: an anonymous request could be answered as if the
   * repository were empty.
   */
  of(repository: string | undefined): Login | undefined | Promise<Login | undefined> {
    if (this.#files.length === 0) return this.#configured;
    if (performance.now() - this.#checkedAt < this.#checkedFor) return this.#find(repository);
    return this.#check(false).then(() => this.#find(repository));
  }

  /**
   * The login for a repository after the registry refused `refused`: a new one if files have changed or helpers have
   * another.
   */
  async renew(repository: string | undefined, refused: Login | undefined): Promise<Login | undefined> {
    if (this.#files.length === 0) return this.#configured;
    await this.#checking;
    if (isSameLogin(this.#find(repository), refused)) {
      const now = performance.now();
      if (now - this.#renewedAt >= RENEWED_FOR) {
        this.#renewedAt = now;
        await this.#check(true);
      } else await this.#checking;
    }
    return this.#find(repository);
  }

  #find(repository: string | undefined): Login | undefined {
    for (const file of this.#files) {
      const login = file.loginFor(repository);
      if (login !== undefined) return login;
    }
    for (const { fault } of this.#files) if (fault !== undefined) throw fault;
    return undefined;
  }

  #check(askHelpers: boolean): Promise<void> {
    this.#checking ??= this.#load(askHelpers).finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #load(askHelpers: boolean): Promise<void> {
    for (const file of this.#files) if (await file.load(askHelpers)) this.#generation++;
    this.#checkedAt = performance.now();
  }
}

/** The logins for one registry in an auth file, and in the credential helpers that it names. */
class LoginFile {
  readonly #path: string;
  readonly #required: boolean;
  readonly #advice: string;
  readonly #registry: string;
  readonly #defaultPort: string;
  #stamp: string | undefined;
  #loaded = false;
  #entry: AuthFileEntry | undefined;
  /** The helper's login for the whole registry. */
  #helperLogin: Login | undefined;
  /** The helper is not installed, but the file has a login. */
  #withoutHelper = false;
  #fault: RegistryError | undefined;

  constructor({ path, required }: AuthFile, url: string) {
    const { protocol, host } = new URL(url);
    this.#path = path;
    this.#required = required;
    this.#advice = `; another file can be named in ${registryKey(url, 'auth_file')}`;
    this.#defaultPort = defaultPortOf(protocol);
    this.#registry = registryName(host, this.#defaultPort);
  }

  /** The error of the last load; `undefined` if it succeeded. */
  get fault(): RegistryError | undefined {
    return this.#fault;
  }

  /** The most specific login. That of a helper replaces the file's own login for the whole registry. */
  loginFor(repository: string | undefined): Login | undefined {
    if (this.#entry === undefined) return undefined;
    const { logins, helper } = this.#entry;
    if (helper !== undefined && !this.#withoutHelper) return this.#helperLogin;
    for (let path = repository ?? ''; path !== ''; path = path.slice(0, Math.max(0, path.lastIndexOf('/')))) {
      const login = logins.get(path);
      if (login !== undefined) return login;
    }
    return this.#helperLogin ?? logins.get('');
  }

  /**
   * Reads the file if it has changed or the last load failed, and then, or if `askHelper`, asks its helper. Says
   * whether logins may have changed.
   */
  async load(askHelper: boolean): Promise<boolean> {
    try {
      const stamp = await this.#stampNow();
      const changed = !this.#loaded || stamp !== this.#stamp;
      if (!changed && this.#fault === undefined && !(askHelper && hasHelper(this.#entry))) return false;
      if (stamp === undefined && this.#required) throw new Error('it does not exist');
      const entry =
        stamp === undefined ? undefined : parseAuthFile(await this.#read(), this.#registry, this.#defaultPort);
      this.#helperLogin = await this.#loginOfHelper(entry);
      this.#entry = entry;
      this.#stamp = stamp;
      this.#fault = undefined;
    } catch (error) {
      // No cause, because it may quote the file. The logins of the last successful load stay in use.
      const local = ` from ${this.#path}: ${messageOf(error)}`;
      this.#fault = new RegistryError(
        'unavailable',
        `the login for ${this.#registry} cannot be read${local}${this.#advice}`,
        { local },
      );
    }
    this.#loaded = true;
    return true;
  }

  /**
   * The file's stamp now. A folder without permission, such as root's `/run/containers`, has no login for this user.
   */
  async #stampNow(): Promise<string | undefined> {
    try {
      return await fileStamp(this.#path);
    } catch (error) {
      if (!this.#required && error instanceof Error && 'code' in error && error.code === 'EACCES') return undefined;
      throw error;
    }
  }

  async #read(): Promise<Buffer> {
    const stats = await stat(this.#path);
    if (!stats.isFile()) throw new Error('it is not a file');
    if (stats.size > MAX_FILE_BYTES) throw new Error(`it is larger than ${MAX_FILE_BYTES} bytes`);
    return readFile(this.#path);
  }

  /**
   * The helper's login. A missing helper is ignored if the file, which may be from another machine, has a login, too.
   */
  async #loginOfHelper(entry: AuthFileEntry | undefined): Promise<Login | undefined> {
    this.#withoutHelper = false;
    try {
      return await this.#askHelper(entry);
    } catch (error) {
      if (!(error instanceof NoCredentialHelper) || entry === undefined || entry.logins.size === 0) throw error;
      this.#withoutHelper = true;
      return undefined;
    }
  }

  async #askHelper(entry: AuthFileEntry | undefined): Promise<Login | undefined> {
    if (entry?.helper !== undefined) return askCredentialHelper(entry.helper.name, entry.helper.server);
    if (entry?.store === undefined) return undefined;
    for (const server of serverNames(this.#registry)) {
      const login = await askCredentialHelper(entry.store, server);
      if (login !== undefined) return login;
    }
    return undefined;
  }
}

function hasHelper(entry: AuthFileEntry | undefined): boolean {
  return entry?.helper !== undefined || entry?.store !== undefined;
}
