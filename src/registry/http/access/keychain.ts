/** Finds the login for each repository of a registry, and keeps up with the files and programs that it comes from. */
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

const CHECKED_FOR = 10_000;
/** How long a new login that was refused is not looked for again, in milliseconds: a registry may refuse thousands of requests. */
const RENEWED_FOR = 5_000;
const MAX_FILE_BYTES = 1024 * 1024;

export interface LoginsOptions extends Pick<AccessOptions, 'credentials' | 'authFiles'> {
  /** The registry's URL. */
  readonly url: string;
  /** How long files are taken to be as they were, in milliseconds; 10 s if absent. */
  readonly checkedFor?: number | undefined;
}

export class Logins {
  readonly #configured: Login | undefined;
  readonly #files: readonly LoginFile[];
  readonly #checkedFor: number;
  #generation = 0;
  #checkedAt = Number.NEGATIVE_INFINITY;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #checking: Promise<void> | undefined;

  constructor({ url, credentials, authFiles = [], checkedFor = CHECKED_FOR }: LoginsOptions) {
    this.#checkedFor = checkedFor;
    this.#configured = credentials && basicLogin(credentials);
    this.#files = credentials ? [] : authFiles.map((file) => new LoginFile(file, url));
  }

  /** Another number whenever a login may be another. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * The login for a repository, or for what belongs to none; a promise where files are looked at first.
   * @throws RegistryError `unavailable` where there may be a login that cannot be read: to ask without it may be answered as if
   * there were nothing.
   */
  of(repository: string | undefined): Login | undefined | Promise<Login | undefined> {
    if (this.#files.length === 0) return this.#configured;
    if (performance.now() - this.#checkedAt < this.#checkedFor) return this.#find(repository);
    return this.#check(false).then(() => this.#find(repository));
  }

  /** The login for a repository after `refused` did not help: another one if files have changed or programs know better. */
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

/** What one file, and the programs that it names, say about one registry. */
class LoginFile {
  readonly #path: string;
  readonly #required: boolean;
  readonly #advice: string;
  readonly #registry: string;
  readonly #defaultPort: string;
  #stamp: string | undefined;
  #loaded = false;
  #entry: AuthFileEntry | undefined;
  /** What a program says about the whole registry. */
  #kept: Login | undefined;
  /** The program that the file names is not there, while the login is. */
  #withoutProgram = false;
  #fault: RegistryError | undefined;

  constructor({ path, required }: AuthFile, url: string) {
    const { protocol, host } = new URL(url);
    this.#path = path;
    this.#required = required;
    this.#advice = `; another file can be named in ${registryKey(url, 'auth_file')}`;
    this.#defaultPort = defaultPortOf(protocol);
    this.#registry = registryName(host, this.#defaultPort);
  }

  /** Why a login that this file may have cannot be told. */
  get fault(): RegistryError | undefined {
    return this.#fault;
  }

  /** The most specific one. A program's takes the place of the file's own for the whole registry, if there is such a program. */
  loginFor(repository: string | undefined): Login | undefined {
    if (this.#entry === undefined) return undefined;
    const { logins, helper } = this.#entry;
    if (helper !== undefined && !this.#withoutProgram) return this.#kept;
    for (let path = repository ?? ''; path !== ''; path = path.slice(0, Math.max(0, path.lastIndexOf('/')))) {
      const login = logins.get(path);
      if (login !== undefined) return login;
    }
    return this.#kept ?? logins.get('');
  }

  /** Reads the file if it has changed, and asks its program then, after a fault, or if `askHelper`. Says whether anything may be another. */
  async load(askHelper: boolean): Promise<boolean> {
    try {
      const stamp = await this.#stampNow();
      const changed = !this.#loaded || stamp !== this.#stamp;
      if (!changed && this.#fault === undefined && !(askHelper && hasHelper(this.#entry))) return false;
      if (stamp === undefined && this.#required) throw new Error('it does not exist');
      const entry = stamp === undefined ? undefined : parseAuthFile(await this.#read(), this.#registry, this.#defaultPort);
      this.#kept = await this.#askProgram(entry);
      this.#entry = entry;
      this.#stamp = stamp;
      this.#fault = undefined;
    } catch (error) {
      // Without the error itself as its cause, which may quote the file. What was known before goes on being used.
      const reason = messageOf(error);
      this.#fault = new RegistryError('unavailable', `the login for ${this.#registry} cannot be read from ${this.#path}: ${reason}${this.#advice}`);
    }
    this.#loaded = true;
    return true;
  }

  /** A folder that may not be looked into, as `/run/containers` of root's, has no login for this user. */
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
    if (!stats.isFile()) throw new Error('it is no file');
    if (stats.size > MAX_FILE_BYTES) throw new Error(`it is larger than ${MAX_FILE_BYTES} bytes`);
    return readFile(this.#path);
  }

  /** What the program says. One that is not there does not matter where the file, which may have been copied from elsewhere, has a login too. */
  async #askProgram(entry: AuthFileEntry | undefined): Promise<Login | undefined> {
    this.#withoutProgram = false;
    try {
      return await this.#askHelper(entry);
    } catch (error) {
      if (!(error instanceof NoCredentialHelper) || entry === undefined || entry.logins.size === 0) throw error;
      this.#withoutProgram = true;
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
