/** Reads `NO_PROXY`: the hosts that are reached without a proxy. */
import { BlockList, isIP, isIPv6 } from 'node:net';

/** Says whether the host is reached without a proxy; `hostname` and `port` as in a URL. */
export type IsDirect = (hostname: string, port: number) => boolean;

/**
 * Parses `NO_PROXY`: names and their subdomains (`.NAME` for the subdomains alone), addresses, networks (`10.0.0.0/8`)
 * and `*`, separated by commas or spaces. All but networks may have a port. Invalid entries match nothing.
 */
export function parseNoProxy(text: string): IsDirect {
  const rules = text
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .map(ruleOf);
  return (hostname, port) => {
    const host = bare(hostname.toLowerCase());
    return rules.some((rule) => rule(host, port));
  };
}

const LOOPBACK = [networkRule('127.0.0.0', 8), networkRule('::1', 128)];

/** Says whether the host of a URL is `localhost` or a loopback address. */
export function isLoopback(hostname: string): boolean {
  const host = bare(hostname.toLowerCase());
  return host === 'localhost' || LOOPBACK.some((isIn) => isIn(host));
}

function ruleOf(entry: string): IsDirect {
  const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (isIP(bare(address)) !== 0) return networkRule(bare(address), Number(bits));

  const [, host = '', digits] = isIPv6(entry) ? [entry, entry] : (/^(.*?)(?::(\d{1,5}))?$/s.exec(entry) ?? []);
  const port = digits === undefined ? undefined : Number(digits);
  const matches =
    isIP(bare(host)) === 0 ? nameRule(bare(host)) : networkRule(bare(host), isIPv6(bare(host)) ? 128 : 32);
  return (hostname, its) => (port === undefined || port === its) && matches(hostname);
}

function nameRule(name: string): (host: string) => boolean {
  if (name === '*') return () => true;
  const suffix = name.replace(/^\*?\.?/, '.');
  const includesItself = !/^[*.]/.test(name);
  return (host) => isIP(host) === 0 && (host.endsWith(suffix) || (includesItself && host === name));
}

function networkRule(address: string, bits: number): (host: string) => boolean {
  const list = new BlockList();
  if (bits > (isIPv6(address) ? 128 : 32)) return () => false;
  list.addSubnet(address, bits, familyOf(address));
  return (host) => isIP(host) !== 0 && list.check(host, familyOf(host));
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}

/** Removes the brackets of an IPv6 address, and the dot at the end of a full name. */
function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/s, '$1').replace(/(.)\.$/s, '$1');
}
