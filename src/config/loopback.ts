import { isIPv4, isIPv6 } from 'node:net';

/** True when `host` (a name or an address, brackets allowed) can only mean this machine. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (name === 'localhost') return true;
  if (isIPv4(name)) return name.startsWith('127.');
  return isIPv6(name) && /^(?:(?:0{1,4}:){7}0{0,3}1|::0{0,3}1|::ffff:127\..*)$/.test(name);
}
