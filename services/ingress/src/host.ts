import { canonicalAddress } from './networks.ts'

const NAME = /^(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2}){1,255}$/
const LITERAL = /^\[([0-9A-Fa-f:.]{2,45})\]$/
const PORT = /:(\d{1,5})$/
const PORT_MAX = 65_535

/**
 * Whether a text looks like a host with or without a port: a name or IPv4 address, or an IPv6 address in brackets
 * (RFC 3986, 3.2.2). Of a name's characters the delimiters of RFC 3986 are left out: no resolver knows a name with one.
 */
export function isHost(text: string): boolean {
  const port = PORT.exec(text)
  if (port !== null && Number(port[1]) > PORT_MAX) return false
  const host = port === null ? text : text.slice(0, port.index)
  const literal = LITERAL.exec(host)?.[1]
  return literal === undefined
    ? NAME.test(host)
    : literal.includes(':') && canonicalAddress(literal) !== undefined
}
