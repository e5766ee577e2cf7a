/** Asks a program `docker-credential-NAME` for a login (docker-credential-helpers, "Development"). */
import { execFile } from 'node:child_process';
import { isJsonObject } from '../../json-object.ts';
import { RegistryError } from '../../registry-error.ts';
import { basicLogin, identityLogin, type Login } from './login.ts';

/** In milliseconds; one that waits for somebody at a keyboard would wait for ever. */
const TIME = 10_000;
const MAX_OUTPUT = 1024 * 1024;
const NOT_FOUND = 'credentials not found in native keychain';
/** The user name that stands for an identity token. */
const IDENTITY = '<token>';

/** There is no such program. */
export class NoCredentialHelper extends RegistryError {
  constructor(message: string) {
    super('unavailable', message);
  }
}

/**
 * The login that the program has for `server`; `undefined` if it has none.
 * @param time how long it may take, in milliseconds
 * @throws NoCredentialHelper, or RegistryError `unavailable` if it cannot be run, fails, or says something else. What it prints may be secret, and is not quoted.
 */
export async function askCredentialHelper(name: string, server: string, time: number = TIME): Promise<Login | undefined> {
  const program = `docker-credential-${name}`;
  const { promise, resolve, reject } = Promise.withResolvers<Login | undefined>();
  const fail = (what: string, cause?: unknown): void => {
    reject(new RegistryError('unavailable', `${program} get ${what}; see what \`echo ${server} | ${program} get\` prints`, { cause }));
  };
  const child = execFile(program, ['get'], { timeout: time, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT, encoding: 'utf8' }, (error, stdout) => {
    if (error === null) {
      const login = parseAnswer(stdout);
      if (login === undefined) fail('did not print a login');
      else resolve(login);
    } else if (stdout.trim() === NOT_FOUND) resolve(undefined);
    else if (error.killed === true) fail(`did not end within ${time / 1000} s`);
    else if (error.code === 'ENOENT') reject(new NoCredentialHelper(`${program} get cannot be run: there is no such program in PATH`));
    else fail(`failed (${error.signal ?? error.code})`);
  });
  // One that ends without having read is judged by how it ends.
  child.stdin?.on('error', () => undefined).end(`${server}\n`);
  return promise;
}

function parseAnswer(text: string): Login | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    // Its message would quote the text.
    return undefined;
  }
  if (!isJsonObject(answer)) return undefined;
  const { Username: username, Secret: secret } = answer;
  if (typeof username !== 'string' || typeof secret !== 'string' || secret === '') return undefined;
  return username === IDENTITY ? identityLogin(secret) : basicLogin({ username, password: secret });
}
