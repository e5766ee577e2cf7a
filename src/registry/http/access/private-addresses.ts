/** Prevents a registry on the Internet from sending requests into a private network (SSRF). */
import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { callbackify } from 'node:util';
import { RegistryError } from '../../registry-error.ts';
import { registryKey } from '../../registry-id.ts';

/** Loopback, private and multicast networks (IANA's registries of special-purpose addresses). */
const PRIVATE_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/4',
  '240.0.0.0/4',
];
const PRIVATE_IPV6 = ['::/96', '64:ff9b:1::/48', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8'];

const PRIVATE = new BlockList();
for (const network of PRIVATE_IPV4) {
  const [address = '', bits] = network.split('/');
  PRIVATE.addSubnet(address, Number(bits), 'ipv4');
  // The same network behind a gateway from IPv6 to IPv4 (RFC 6052).
  PRIVATE.addSubnet(`64:ff9b::${address}`, 96 + Number(bits), 'ipv6');
}
for (const network of PRIVATE_IPV6) {
  const [address = '', bits] = network.split('/');
  PRIVATE.addSubnet(address, Number(bits), 'ipv6');
}

/** Says whether an IP address is private; an IPv4 address may be written as IPv6. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && PRIVATE.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

/** Settings of {@link PrivateAddresses}. */
export interface PrivateAddressesOptions {
  /** The registry's URL. */
  readonly url: string;
  /** Whether the registry may lead to private addresses; if `undefined`, only if it is at one itself. */
  readonly allowed: boolean | undefined;
}

/** Checks the hosts that a registry names in redirects and as its token server. */
export class PrivateAddresses {
  readonly #url: string;
  readonly #allowed: boolean | undefined;
  /** The registry itself is at a private address. */
  #isPrivate = false;

  constructor({ url, allowed }: PrivateAddressesOptions) {
    this.#url = url;
    this.#allowed = allowed;
  }

  /**
   * Checks the host of a URL, a name or an address.
   * @throws RegistryError `malformed` if it has only private addresses, and these are not allowed.
   */
  async check(hostname: string): Promise<void> {
    // A name that cannot be resolved here may be known to the proxy.
    await this.#allowedOf(hostname, await addressesOf(hostname).catch(() => []));
  }

  /** Resolves a host for a connection, without the addresses that are not allowed. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    const find = callbackify(async () => this.#allowedOf(hostname, await lookup(hostname, { ...options, all: true })));
    find((error: Error | null, addresses) => {
      const [first] = addresses ?? [];
      if (error !== null || options.all === true || first === undefined) callback(error, addresses ?? []);
      else callback(null, first.address, first.family);
    });
  };

  async #allowedOf(hostname: string, addresses: readonly LookupAddress[]): Promise<LookupAddress[]> {
    const inner = addresses.find(({ address }) => isPrivateAddress(address));
    if (inner === undefined || (await this.#mayLeadInside())) return [...addresses];
    const open = addresses.filter(({ address }) => !isPrivateAddress(address));
    if (open.length > 0) return open;
    throw new RegistryError(
      'malformed',
      `${hostname} is at the private address ${inner.address}, to which this registry may not lead; to allow it, set ${registryKey(this.#url, 'private_redirects')} to true`,
    );
  }

  async #mayLeadInside(): Promise<boolean> {
    if (this.#allowed !== undefined) return this.#allowed;
    if (!this.#isPrivate) {
      const addresses = await addressesOf(new URL(this.#url).hostname).catch(() => []);
      this.#isPrivate = addresses.some(({ address }) => isPrivateAddress(address));
    }
    return this.#isPrivate;
  }
}

async function addressesOf(hostname: string): Promise<LookupAddress[]> {
  return lookup(hostname.replace(/^\[(.*)\]$/, '$1'), { all: true });
}
