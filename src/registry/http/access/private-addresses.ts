/** Keeps a registry from leading into an inner network that it is not in. */
import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { callbackify } from 'node:util';
import { RegistryError } from '../../registry-error.ts';
import { registryKey } from '../../registry-id.ts';

/** Of this machine and of networks that are not part of the Internet (IANA's registries of special-purpose addresses), or of many hosts at once. */
const PRIVATE_IPV4 = ['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4'];
const PRIVATE_IPV6 = ['::/96', '64:ff9b:1::/48', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8'];

const PRIVATE = new BlockList();
for (const network of PRIVATE_IPV4) {
  const [address = '', bits] = network.split('/');
  PRIVATE.addSubnet(address, Number(bits), 'ipv4');
  // Behind a gateway from IPv6 to IPv4 (RFC 6052).
  PRIVATE.addSubnet(`64:ff9b::${address}`, 96 + Number(bits), 'ipv6');
}
for (const network of PRIVATE_IPV6) {
  const [address = '', bits] = network.split('/');
  PRIVATE.addSubnet(address, Number(bits), 'ipv6');
}

/** Says whether an IP address is one of an inner network; an IPv4 address may be written as IPv6. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && PRIVATE.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

export interface PrivateAddressesOptions {
  /** The registry's. */
  readonly url: string;
  /** Whether it may lead to private addresses; only if it is at one itself unless given. */
  readonly allowed: boolean | undefined;
}

/** Which hosts a registry may have asked, beside itself: by redirects, and by the token server that it names. */
export class PrivateAddresses {
  readonly #url: string;
  readonly #allowed: boolean | undefined;
  /** The registry was found to be at a private address. */
  #isIn = false;

  constructor({ url, allowed }: PrivateAddressesOptions) {
    this.#url = url;
    this.#allowed = allowed;
  }

  /**
   * Lets a host pass, a name or an address as in a URL, unless it is at private addresses alone.
   * @throws RegistryError `malformed` if it may not be asked.
   */
  async check(hostname: string): Promise<void> {
    // A proxy may know names that are not known here.
    await this.#passable(hostname, await addressesOf(hostname).catch(() => []));
  }

  /** Finds the addresses of a host for a connection, and leaves out those that it may not be made to. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    const find = callbackify(async () => this.#passable(hostname, await lookup(hostname, { ...options, all: true })));
    find((error: Error | null, addresses) => {
      const [first] = addresses ?? [];
      if (error !== null || options.all === true || first === undefined) callback(error, addresses ?? []);
      else callback(null, first.address, first.family);
    });
  };

  async #passable(hostname: string, addresses: readonly LookupAddress[]): Promise<LookupAddress[]> {
    const inner = addresses.find(({ address }) => isPrivateAddress(address));
    if (inner === undefined || (await this.#mayLeadInside())) return [...addresses];
    const open = addresses.filter(({ address }) => !isPrivateAddress(address));
    if (open.length > 0) return open;
    throw new RegistryError('malformed', `${hostname} is at the private address ${inner.address}, where this registry may not lead; set ${registryKey(this.#url, 'private_redirects')} to true if it may`);
  }

  async #mayLeadInside(): Promise<boolean> {
    if (this.#allowed !== undefined) return this.#allowed;
    if (!this.#isIn) {
      const addresses = await addressesOf(new URL(this.#url).hostname).catch(() => []);
      this.#isIn = addresses.some(({ address }) => isPrivateAddress(address));
    }
    return this.#isIn;
  }
}

async function addressesOf(hostname: string): Promise<LookupAddress[]> {
  return lookup(hostname.replace(/^\[(.*)\]$/, '$1'), { all: true });
}
