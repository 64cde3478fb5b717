import { isIPv4 } from 'node:net';

const LOOPBACK_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/i;

/** Whether a Host header names this machine's loopback, with any port. */
export function isLoopbackHost(host: string | undefined): boolean {
  return host !== undefined && LOOPBACK_HOST.test(host);
}

/** Whether an Origin header is absent or names this machine's loopback. */
export function isLoopbackOrigin(origin: string | undefined): boolean {
  if (origin === undefined) return true;
  const match = /^https?:\/\/(.+)$/i.exec(origin);
  return match !== null && isLoopbackHost(match[1]);
}

/** Whether an IP address is a loopback one. */
export function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false;
  if (address === '::1') return true;
  const bare = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
  return isIPv4(bare) && bare.startsWith('127.');
}

/** Whether a server bound to this host can only be reached from this machine. */
export function isLoopbackBinding(host: string): boolean {
  return host === 'localhost' || isLoopbackAddress(host);
}
