/** Logins for registries. */
import { registryKey } from '../../registry-id.ts';

/** A user name and password of the configuration. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** A login in the form that requests need. */
export type Login =
  | {
      readonly kind: 'basic';
      /** The value of `Authorization` for the Basic scheme (RFC 7617). */
      readonly authorization: string;
    }
  | {
      readonly kind: 'identity';
      /** The refresh token for the realm (Distribution, "Docker Registry v2 authentication using OAuth2"). */
      readonly token: string;
    };

/** A login for the Basic scheme. */
export function basicLogin({ username, password }: Credentials): Extract<Login, { readonly kind: 'basic' }> {
  return { kind: 'basic', authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
}

/** A login by an identity token, as `docker login` stores it. */
export function identityLogin(token: string): Login {
  return { kind: 'identity', token };
}

/** Says whether both logins are equal, or both missing. */
export function isSameLogin(one: Login | undefined, other: Login | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.kind === 'basic'
    ? other.kind === 'basic' && one.authorization === other.authorization
    : other.kind === 'identity' && one.token === other.token;
}

/**
 * Advice for errors of a registry that refuses access.
 * @param refused whether the request had a login, which was refused
 */
export function loginAdvice(id: string, refused: boolean): string {
  if (refused)
    return `the login is refused: check ${registryKey(id, 'username')} and password, or log in again with the tool that stores them`;
  return `it may need ${registryKey(id, 'username')} and password, or a different login`;
}
