import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { RepriseError } from '../../domain/errors.js';

/** What a notifier may reach. */
export interface Reach {
  /** Host names, addresses and networks; null: any public one. */
  readonly allow: readonly string[] | null;
  readonly allowPrivate: boolean;
}

export type Resolve = (
  hostname: string,
  answer: (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void,
) => void;

const resolveBySystem: Resolve = (hostname, answer) => systemLookup(hostname, { all: true }, answer);

/**
 * The lookup of a connection: every address a name resolves to is checked, and the connection is made to these very
 * addresses, so that a name which resolves differently a moment later reaches nothing else (F41, DNS rebinding).
 */
export function guardedLookup(reach: Reach, notifier: string, resolve: Resolve = resolveBySystem): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, (error, addresses) => {
      const refused = error === null ? addresses.find(({ address }) => !mayReach(reach, hostname, address)) : undefined;
      const [first] = addresses;
      if (error !== null) callback(error, '');
      else if (refused !== undefined) callback(refusal(hostname, refused.address, notifier), '');
      else if (first === undefined)
        callback(Object.assign(new Error(`${hostname} has no address`), { code: 'ENOTFOUND' }), '');
      else if (options.all === true) callback(null, [...addresses]);
      else callback(null, first.address, first.family);
    });
  };
}

/**
 * Checks what can be checked before a connection: names against the list, and hosts that are addresses, which Node
 * connects to without a lookup.
 * @throws `address-refused`
 */
export function refuseForeign(reach: Reach, url: URL, notifier: string): void {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0) {
    if (!mayReach(reach, host, host)) throw refusal(host, host, notifier);
  } else if (
    reach.allow !== null &&
    !listsName(reach.allow, host) &&
    !reach.allow.some((entry) => ipaddr.isValid(entry) || ipaddr.isValidCIDR(entry))
  ) {
    throw refusal(host, null, notifier);
  }
}

function mayReach({ allow, allowPrivate }: Reach, hostname: string, text: string): boolean {
  const address = ipaddr.process(text.replace(/%.*$/, ''));
  const listed = allow?.some((entry) => covers(entry, address)) ?? false;
  if (listed) return true;
  if (allow !== null && !listsName(allow, hostname)) return false;
  // Everything special is something else than unicast: private, loopback, link-local, carrier NAT, mapped, multicast...
  return allowPrivate || address.range() === 'unicast';
}

function listsName(allow: readonly string[], hostname: string): boolean {
  return allow.some((entry) => entry.toLowerCase() === hostname.toLowerCase().replace(/\.$/, ''));
}

function covers(entry: string, address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (ipaddr.isValidCIDR(entry)) {
    const [network, bits] = ipaddr.parseCIDR(entry);
    return network.kind() === address.kind() && address.match(network, bits);
  }
  return ipaddr.isValid(entry) && ipaddr.process(entry).toNormalizedString() === address.toNormalizedString();
}

function refusal(host: string, address: string | null, notifier: string): RepriseError {
  const where = address === null || address === host ? host : `${host} (${address})`;
  return new RepriseError(
    'address-refused',
    `the ${notifier} may not reach ${where}`,
    'only public addresses are reached; name it under allow:, or set allow_private: true',
  );
}
