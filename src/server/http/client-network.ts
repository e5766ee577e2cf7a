/** Tells clients apart, for limits. */
import { isIPv6 } from 'node:net';

/** Returns an IPv4 address, or the /64 of an IPv6 address, which is the least that one customer has (RFC 6177). */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [before = '', after] = address.split('%', 1).join('').split('::');
  const groups = before === '' ? [] : before.split(':');
  if (after !== undefined)
    groups.push(...Array.from({ length: 8 - groups.length - (after === '' ? 0 : after.split(':').length) }, () => '0'));
  return `${[...groups, ...(after ?? '').split(':')]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, '').toLowerCase())
    .join(':')}::/64`;
}
