import { SallyportError } from '@sallyport/core/errors'
import ipaddr from 'ipaddr.js'

type Address = ReturnType<typeof ipaddr.process>

/** A set of networks in CIDR notation, IPv4 and IPv6. IPv4 addresses in IPv6 clothes (::ffff:a.b.c.d) are IPv4. */
export class Networks {
  readonly #ranges: readonly (readonly [Address, number])[]

  /** `setting` names the place of a wrong entry; throws `SP_SETTINGS`. */
  constructor(cidrs: readonly string[], setting: string) {
    this.#ranges = cidrs.map(text => parseRange(text, setting))
  }

  get empty(): boolean {
    return this.#ranges.length === 0
  }

  /** Whether the address lies in one of the networks; false for what is no address. */
  includes(address: string): boolean {
    const parsed = parseAddress(address)
    if (parsed === undefined) return false
    return this.#ranges.some(([network, bits]) => {
      return network.kind() === parsed.kind() && parsed.match(network, bits)
    })
  }
}

/** The canonical text of an IP address, or undefined where the text is none. */
export function canonicalAddress(text: string): string | undefined {
  return parseAddress(text)?.toString()
}

/** What counts as one client: an IPv4 address, or an IPv6 network of 64 bits; null for what is no address. */
export function clientOf(address: string): string | null {
  const parsed = parseAddress(address)
  if (parsed === undefined) return null
  if (parsed.kind() === 'ipv4') return parsed.toString()
  return `${parsed.toNormalizedString().split(':', 4).join(':')}::/64`
}

/** Strict forms only: ipaddr.js would read `010.1` and `0x7f000001` as IPv4 as well. */
const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/
const LEADING_ZERO = /(^|\.)0\d/

function parseAddress(text: string): Address | undefined {
  if (text.includes('%')) return undefined
  if (!text.includes(':') && (!IPV4.test(text) || LEADING_ZERO.test(text))) return undefined
  if (!ipaddr.isValid(text)) return undefined
  return ipaddr.process(text)
}

function parseRange(text: string, setting: string): readonly [Address, number] {
  const [base = '', bitsText, ...rest] = text.split('/')
  const network = parseAddress(base)
  const bitsMax = network?.kind() === 'ipv4' ? 32 : 128
  const bits = bitsText === undefined ? bitsMax : /^\d{1,3}$/.test(bitsText) ? Number(bitsText) : -1
  if (network === undefined || rest.length > 0 || bits < 0 || bits > bitsMax) {
    throw new SallyportError(
      'SP_SETTINGS',
      `${setting} holds ${JSON.stringify(text)}: write addresses and networks like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32`,
    )
  }
  return [network, bits]
}

/** Whether a listener on this host is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || new Networks(['127.0.0.0/8', '::1'], 'ingress.host').includes(host)
}
