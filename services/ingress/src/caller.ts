/**
 * Who called, and how: the sender's address, whether its side of the connection is encrypted, and the URL it used.
 *
 * - A1. Forwarding headers count only where the connection's peer is a trusted proxy.
 * - A2. X-Forwarded-For is walked from the right: each trusted address vouches for the one to its left, and the first
 *   that is not trusted is the sender. What stands further left is the sender's own invention.
 * - A3. An entry that is no address ends the walk with no sender address at all; an allow-list then refuses.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { isHost } from './host.ts'
import { canonicalAddress, clientOf, type Networks } from './networks.ts'

/** All who cannot be told apart (A3). */
const UNKNOWN = '-'

/** The caller of one request, as far as `trusted` proxies can be believed. */
export class Caller {
  /** TLS from the sender to the outermost trusted proxy, or to here. */
  readonly secure: boolean
  /** Host as the sender called it; null where a header that should name one does not look like a host. */
  readonly host: string | null
  readonly #req: IncomingMessage
  readonly #trusted: Networks | null

  constructor(req: IncomingMessage, trusted: Networks) {
    const { socket, headers } = req
    const believed = !trusted.empty && trusted.includes(socket.remoteAddress ?? '')
    this.#req = req
    this.#trusted = believed ? trusted : null
    const secure = socket instanceof TLSSocket
    const named = [headers.host, believed ? headerText(headers['x-forwarded-host']) : undefined]
    this.secure = (believed ? forwardedSecure(headerText(headers['x-forwarded-proto'])) : undefined) ?? secure
    this.host = named.every(host => host === undefined || isHost(host)) ? (named[1] ?? named[0] ?? '') : null
  }

  /** The sender's IP address in canonical form, or null where it cannot be told (A3). */
  address(): string | null {
    const { socket, headers } = this.#req
    const forwardedFor = this.#trusted === null ? undefined : headerText(headers['x-forwarded-for'])
    if (this.#trusted === null || forwardedFor === undefined) {
      return canonicalAddress(socket.remoteAddress ?? '') ?? null
    }
    return senderOf(forwardedFor, this.#trusted)
  }

  /** Whom limits count the request for; null for a trusted proxy that names no sender (A7). */
  client(): string | null {
    const trusted = this.#trusted
    if (trusted === null) return clientAt(this.#req.socket)
    const address = this.address()
    if (address !== null && trusted.includes(address)) return null
    return address === null ? UNKNOWN : (clientOf(address) ?? UNKNOWN)
  }
}

/** Of sockets whose requests come from their own peer: reading an address again costs more than routing a request. */
const clients = new WeakMap<Socket, string>()

function clientAt(socket: Socket): string {
  const known = clients.get(socket)
  if (known !== undefined) return known
  const client = clientOf(socket.remoteAddress ?? '') ?? UNKNOWN
  clients.set(socket, client)
  return client
}

/** The rightmost address of an X-Forwarded-For list that is not a trusted proxy's (A2), or null (A3). */
export function senderOf(forwardedFor: string, trusted: Networks): string | null {
  const entries = forwardedFor.split(',')
  let address: string | null = null
  for (let i = entries.length - 1; i >= 0; i--) {
    address = canonicalAddress(withoutPort((entries[i] as string).trim())) ?? null
    if (address === null || !trusted.includes(address)) return address
  }
  return address
}

/** Some proxies add the port: `192.0.2.7:5000`, `[2001:db8::1]:5000`. */
function withoutPort(entry: string): string {
  const bracketed = /^\[([^\]]*)\](:\d{1,5})?$/.exec(entry)
  if (bracketed !== null) return bracketed[1] as string
  const ported = /^([\d.]+):\d{1,5}$/.exec(entry)
  return ported === null ? entry : (ported[1] as string)
}

/** Every proxy on the way must have said https; undefined where none said anything. */
function forwardedSecure(text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined
  return text.split(',').every(value => value.trim().toLowerCase() === 'https')
}

function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value
}
