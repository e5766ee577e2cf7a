/** Types of the package `pgpass`, which has none. */
declare module 'pgpass' {
  interface Login {
    readonly user: string;
    readonly host: string;
    readonly port: number;
    readonly database: string;
  }

  /** Finds the password of a login in the password file of libpq. */
  export default function pgpass(login: Login, done: (password: string | undefined) => void): void;
}
