/** With what, and how, a registry is reached. */
import type { Credentials } from './login.ts';

/** Plain values, which can be sent to a thread. All paths are absolute. */
export interface AccessOptions {
  /** For all that the registry has; without them, files with logins are searched. */
  readonly credentials?: Credentials | undefined;
  /** Searched in this order; the first that has a login for a repository gives it. */
  readonly authFiles?: readonly AuthFile[] | undefined;
  /** Certificates (PEM) to trust beside the system's. */
  readonly caFile?: string | undefined;
  /** A certificate to log in with (PEM), and its key. */
  readonly clientCert?: string | undefined;
  readonly clientKey?: string | undefined;
  /** Folders of folders named `HOST` or `HOST:PORT` (containers-certs.d(5)). */
  readonly certsDirs?: readonly string[] | undefined;
  readonly proxies?: ProxyOptions | undefined;
  /** Whether redirects and token servers may be at private addresses; only if the registry itself is at one unless given. */
  readonly privateRedirects?: boolean | undefined;
}

/** A file with logins (containers-auth.json(5)). */
export interface AuthFile {
  readonly path: string;
  /** It was asked for by name: that it is not there is a fault. */
  readonly required: boolean;
}

/** What the variables of the environment say; each may be empty. */
export interface ProxyOptions {
  /** `HTTP_PROXY`: for registries with http. */
  readonly http?: string | undefined;
  /** `HTTPS_PROXY`: for registries with https. */
  readonly https?: string | undefined;
  /** `NO_PROXY`: hosts that are reached without. */
  readonly none?: string | undefined;
}
