/** The registry's own account of who asked for what: the access log of docker-registry. */

/** The requests of regindexer in `log`, as `METHOD PATH`. */
export function requestsIn(log: string): readonly string[] {
  return Array.from(
    log.matchAll(/"([A-Z]+ \/v2\/[^" ]*) HTTP\/[\d.]+" \d+ \d+ "" "regindexer/g),
    ([, request = '']) => request,
  );
}
