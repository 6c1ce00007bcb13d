/** Addresses of the Internet, and those of this machine and its networks, which no request may reach through the server. */

/** IPv4 networks that are not public: IANA's registry of special-purpose addresses (RFC 6890), multicast and reserved ones. */
const SPECIAL_4: readonly (readonly [network: string, bits: number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
];

/**
 * IPv6 networks inside of 2000::/3, the global unicast addresses (RFC 4291), that are not public, or lead to an IPv4 address:
 * IETF protocols with Teredo, documentation, 6to4. All others are outside: loopback, mapped and translated IPv4, private,
 * link-local, multicast.
 */
const SPECIAL_6: readonly (readonly [network: readonly number[], bits: number])[] = [
  [[0x2001, 0], 23],
  [[0x2001, 0xdb8], 32],
  [[0x2002, 0], 16],
  [[0x3fff, 0], 20],
];

/** An IPv4 address as a number; undefined for what is not four decimal numbers. */
function parse4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** The first 32 bits of an IPv6 address, in two numbers of 16; undefined for what is none. */
function begin6(text: string): readonly [number, number] | undefined {
  // The one way of writing it that there is.
  if (!text.includes(":") || !URL.canParse(`http://[${text}]/`)) return undefined;
  const [left = ""] = new URL(`http://[${text}]/`).hostname.slice(1, -1).split("::");
  const [first = 0, second = 0] = left === "" ? [] : left.split(":").map((part) => Number.parseInt(part, 16));
  return [first, second];
}

/** Tells whether an IP address is one that anybody may reach. What is no address is not. */
export function isPublic(address: string): boolean {
  const four = parse4(address);
  if (four !== undefined) {
    return !SPECIAL_4.some(([network, bits]) => four >>> (32 - bits) === parse4(network)! >>> (32 - bits));
  }
  const six = begin6(address);
  if (!six || six[0] >>> 13 !== 1) return false;
  const value = six[0] * 65536 + six[1];
  return !SPECIAL_6.some(
    ([[first = 0, second = 0], bits]) => value >>> (32 - bits) === (first * 65536 + second) >>> (32 - bits),
  );
}

/** Tells whether a host of a URL is an IP address, in brackets if of version 6. */
export const isAddress = (host: string): boolean => host.startsWith("[") || parse4(host) !== undefined;
