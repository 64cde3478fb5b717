import { lookup as resolve } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isIP } from 'node:net';
import { AppError } from '@millrace/contracts';
import ipaddr from 'ipaddr.js';

/** Public addresses that are answered by the machine below: metadata of a cloud provider. */
const METADATA_ADDRESSES = ['168.63.129.16'];
/** All IPv6 addresses that were ever given out for the internet; the rest holds old ways to write IPv4 ones. */
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3');
const URL_CHARS_MAX = 2_048;

/** Networks that webhooks may reach although they are private, as [address, bits]. */
export type AllowedNetworks = readonly [ipaddr.IPv4 | ipaddr.IPv6, number][];

/** Reads `10.0.0.0/8,::1/128`. Throws with the part that is no network. */
export function parseNetworks(text: string): AllowedNetworks {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      if (!ipaddr.isValidCIDR(part)) throw new TypeError(`'${part}' is no network such as 10.0.0.0/8.`);
      return ipaddr.parseCIDR(part);
    });
}

/** Whether a connection to an address is allowed: to public ones, and to those of the networks that are named. */
export function isAllowedAddress(address: string, networks: AllowedNetworks): boolean {
  if (!ipaddr.isValid(address)) return false;
  // an IPv4 address inside an IPv6 one is that IPv4 address
  const parsed = ipaddr.process(address);
  const isNamed = networks.some(
    ([network, bits]) => network.kind() === parsed.kind() && parsed.match(network as never, bits),
  );
  if (isNamed) return true;
  const isGlobal = parsed.kind() === 'ipv4' || parsed.match(GLOBAL_IPV6 as never);
  return isGlobal && parsed.range() === 'unicast' && !METADATA_ADDRESSES.includes(parsed.toString());
}

/** Checks the address that a webhook is to have. Throws `webhook_url_not_allowed`. */
export function assertTarget(url: string, networks: AllowedNetworks): void {
  const fault = faultOf(url, networks);
  if (fault !== undefined) throw new AppError('webhook_url_not_allowed', `The url ${fault}.`);
}

function faultOf(text: string, networks: AllowedNetworks): string | undefined {
  if (text.length > URL_CHARS_MAX || !URL.canParse(text)) return 'is no address of at most 2048 characters';
  const { protocol, username, password, hash } = new URL(text);
  if (protocol !== 'https:' && protocol !== 'http:') return 'must begin with https:// or http://';
  if (username !== '' || password !== '') return 'must not hold a user or password';
  if (hash !== '') return 'must not have a fragment';
  const host = literalHost(text);
  if (host !== undefined && !isAllowedAddress(host, networks))
    return `leads to ${host}, which is not a public address`;
  return undefined;
}

/** The IP address that a URL names instead of a host; nobody looks one up, so it is checked as it stands. */
export function literalHost(url: string): string | undefined {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  return isIP(host) === 0 ? undefined : host;
}

/**
 * Looks a host up for the very connection that is made then, and refuses it when any of its addresses is not allowed: a
 * name that was checked before could lead elsewhere by now.
 */
export function createGuardedLookup(networks: AllowedNetworks): LookupFunction {
  return (hostname, options, done) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return done(error, '');
      const bad = addresses.find(({ address }) => !isAllowedAddress(address, networks));
      const [first] = addresses;
      if (bad !== undefined || first === undefined) {
        const text = `${hostname} leads to ${bad?.address ?? 'nowhere'}, which is not a public address`;
        return done(Object.assign(new Error(text), { code: 'EADDRNOTALLOWED' }), '');
      }
      if (options.all === true) return done(null, addresses);
      return done(null, first.address, first.family);
    });
  };
}
