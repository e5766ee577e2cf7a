/** Options that say how a registry is reached and asked. Plain values, so that they can be sent to a thread. */
import type { Credentials } from './login.ts';

/** Limits of the requests to a registry. */
export interface RequestOptions {
  /** The most requests at once; how many are sent is found by `CongestionControl`. */
  readonly concurrency: number;
  /** Always sends as many requests at once as `concurrency` allows; for benchmarks. */
  readonly fixedConcurrency?: boolean | undefined;
  /** The time for a whole request, in milliseconds; for a streamed body until it begins, and then between its parts. */
  readonly timeout: number;
  /**
   * The longest pause before the second and each further attempt, in milliseconds; as many retries as there are pauses.
   */
  readonly pauses?: readonly number[] | undefined;
  /** The header `User-Agent`; `regindexer` if absent. */
  readonly userAgent?: string | undefined;
}

/** Keychain, certificates and proxies for a registry. All paths are absolute. */
export interface AccessOptions {
  /** The login for all repositories; if absent, `authFiles` are searched. */
  readonly credentials?: Credentials | undefined;
  /** Files with logins in the order of their priority: the first that has one for a repository is used. */
  readonly authFiles?: readonly AuthFile[] | undefined;
  /** A PEM file of certificates to trust in addition to the system's. */
  readonly caFile?: string | undefined;
  /** PEM files of the client certificate and its key. */
  readonly clientCert?: string | undefined;
  readonly clientKey?: string | undefined;
  /** Folders with a folder `HOST` or `HOST:PORT` of certificates for each host (containers-certs.d(5)). */
  readonly certsDirs?: readonly string[] | undefined;
  /** The proxies of the environment; none if absent. */
  readonly proxies?: ProxyOptions | undefined;
  /**
   * Whether redirects and token servers may be at private addresses; if absent, only where the registry itself is at
   * one.
   */
  readonly privateRedirects?: boolean | undefined;
}

/** A file with logins (containers-auth.json(5)). */
export interface AuthFile {
  readonly path: string;
  /** The configuration names this file, so that a missing one is an error. */
  readonly required: boolean;
}

/** The environment variables for proxies; each may be empty. */
export interface ProxyOptions {
  /** `HTTP_PROXY`: the proxy for http URLs. */
  readonly http?: string | undefined;
  /** `HTTPS_PROXY`: the proxy for https URLs. */
  readonly https?: string | undefined;
  /** `NO_PROXY`: hosts that are reached without a proxy. */
  readonly none?: string | undefined;
}
