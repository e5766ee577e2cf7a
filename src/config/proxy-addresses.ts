/** Addresses of proxies in the configuration file. */
import { isIP } from 'node:net';
import { Type } from 'typebox';
import { NO_WORDS, text, type Options } from './rules.ts';

/** The addresses of proxies, as Fastify's `trustProxy` has them: IP addresses, networks, or names of such. */
export function proxyAddresses(options: Options = {}) {
  return Type.Refine(
    text({ expected: 'an IP address, a network such as 10.0.0.0/8, or loopback', ...options }),
    (written) => written.split(',').every((address) => isProxyAddress(address.trim())),
    NO_WORDS,
  );
}

function isProxyAddress(address: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(address)) return true;
  const [ip = '', bits = '0', ...rest] = address.split('/');
  const longest = isIP(ip) === 4 ? 32 : 128;
  return isIP(ip) !== 0 && rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= longest;
}
