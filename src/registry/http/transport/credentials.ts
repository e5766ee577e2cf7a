/** Who asks a registry. */

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** The `Authorization` of the Basic scheme (RFC 7617). */
export function basicAuthorization({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
