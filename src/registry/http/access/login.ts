/** Who asks a registry. */
import { registryKey } from '../../registry-id.ts';

/** As the configuration has them. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export type Login =
  | {
      readonly kind: 'basic';
      /** The `Authorization` of the Basic scheme (RFC 7617). */
      readonly authorization: string;
    }
  | {
      readonly kind: 'identity';
      /** What a realm gives tokens for (Distribution, "Docker Registry v2 authentication using OAuth2": the refresh token). */
      readonly token: string;
    };

export function basicLogin({ username, password }: Credentials): Login {
  return { kind: 'basic', authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
}

export function identityLogin(token: string): Login {
  return { kind: 'identity', token };
}

/** Says whether both would be the same to a registry. */
export function isSameLogin(one: Login | undefined, other: Login | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.kind === 'basic' ? other.kind === 'basic' && one.authorization === other.authorization : other.kind === 'identity' && one.token === other.token;
}

/** What to do where the registry `id` refuses somebody. @param known whether it was asked with a login */
export function loginAdvice(id: string, known: boolean): string {
  if (known) return `the login is refused: check ${registryKey(id, 'username')} and password, or log in anew where they come from`;
  return `it may need ${registryKey(id, 'username')} and password, or others`;
}
