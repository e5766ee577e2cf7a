/** Asks a program `docker-credential-NAME` for a login (docker-credential-helpers, "Development"). */
import { execFile } from 'node:child_process';
import { isJsonObject } from '../../../system/is-json-object.ts';
import { RegistryError } from '../../registry-error.ts';
import { basicLogin, identityLogin, type Login } from './login.ts';

/** The default timeout in milliseconds: a helper that prompts would never end. */
const TIMEOUT = 10_000;
const MAX_OUTPUT = 1024 * 1024;
const NOT_FOUND = 'credentials not found in native keychain';
/** The user name by which helpers mark an identity token. */
const IDENTITY = '<token>';

/** The error for a helper that is not installed. */
export class NoCredentialHelper extends RegistryError {
  constructor(message: string) {
    super('unavailable', message);
  }
}

/**
 * The login that the helper has for `server`; `undefined` if it has none.
 * @param timeout in milliseconds
 * @throws NoCredentialHelper, or RegistryError `unavailable` if it cannot be run, fails or prints something else. Its
 * output may be secret and is not quoted.
 */
export async function askCredentialHelper(
  name: string,
  server: string,
  timeout: number = TIMEOUT,
): Promise<Login | undefined> {
  const program = `docker-credential-${name}`;
  const { promise, resolve, reject } = Promise.withResolvers<Login | undefined>();
  const fail = (what: string, cause?: unknown): void => {
    reject(
      new RegistryError('unavailable', `${program} get ${what}; see what \`echo ${server} | ${program} get\` prints`, {
        cause,
      }),
    );
  };
  const child = execFile(
    program,
    ['get'],
    { timeout, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT, encoding: 'utf8' },
    (error, stdout) => {
      if (error === null) {
        const login = parseAnswer(stdout);
        if (login === undefined) fail('did not print a login');
        else resolve(login);
      } else if (stdout.trim() === NOT_FOUND) resolve(undefined);
      else if (error.killed === true) fail(`did not end within ${timeout / 1000} s`);
      else if (error.code === 'ENOENT')
        reject(new NoCredentialHelper(`${program} get cannot be run: there is no such program in PATH`));
      else fail(`failed (${error.signal ?? error.code})`);
    },
  );
  // A helper may end without reading its input; its exit status counts.
  child.stdin?.on('error', () => undefined).end(`${server}\n`);
  return promise;
}

function parseAnswer(text: string): Login | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    // The error of JSON.parse is dropped because it quotes the text.
    return undefined;
  }
  if (!isJsonObject(answer)) return undefined;
  const { Username: username, Secret: secret } = answer;
  if (typeof username !== 'string' || typeof secret !== 'string' || secret === '') return undefined;
  return username === IDENTITY ? identityLogin(secret) : basicLogin({ username, password: secret });
}
