/**
 * How many connections there are, in all and of each client address.
 *
 * - A4. A stranger makes room for who comes: over a limit, the connection that has been open for the longest without
 *   bringing a delivery that verified is reset; the newcomer itself only where all others have.
 * - A5. The connections of trusted proxies carry many senders: they count in all, never for an address, and are not
 *   reset to make room.
 */
import type { Peer } from '@sallyport/core/peer'
import { ClientTable, type Known } from './client-table.ts'
import { clientOf, type Networks } from './networks.ts'

export interface ConnectionLimitSettings {
  readonly connectionsMax: number
  readonly connectionsPerAddressMax: number
  readonly addressesMax: number
}

class Client implements Known {
  connections = 0
  readonly strangers = new Set<Peer>()

  inUse(): boolean {
    return this.connections > 0
  }

  forgettable(): boolean {
    return true
  }
}

export class ConnectionLimits {
  readonly #settings: ConnectionLimitSettings
  readonly #trusted: Networks
  readonly #clients: ClientTable<Client>
  readonly #clientOf = new Map<Peer, Client | null>()
  /** Connections that brought no verified delivery yet, the oldest first. */
  readonly #strangers = new Set<Peer>()

  constructor(settings: ConnectionLimitSettings, trusted: Networks) {
    this.#settings = settings
    this.#trusted = trusted
    this.#clients = new ClientTable(settings.addressesMax, () => new Client())
  }

  arrives(peer: Peer): void {
    const client = this.#clientFor(peer.socket.remoteAddress ?? '')
    this.#clientOf.set(peer, client)
    if (client !== null) {
      client.connections++
      client.strangers.add(peer)
      this.#strangers.add(peer)
      peer.onProven = () => this.#forgetStranger(peer, client)
      if (client.connections > this.#settings.connectionsPerAddressMax) resetOldest(client.strangers)
    }
    if (this.#clientOf.size > this.#settings.connectionsMax && !resetOldest(this.#strangers)) peer.reset()
  }

  leaves(peer: Peer): void {
    const client = this.#clientOf.get(peer)
    this.#clientOf.delete(peer)
    if (client === undefined || client === null) return
    client.connections--
    this.#forgetStranger(peer, client)
  }

  #clientFor(address: string): Client | null {
    if (!this.#trusted.empty && this.#trusted.includes(address)) return null
    return this.#clients.of(clientOf(address) ?? address)
  }

  #forgetStranger(peer: Peer, client: Client): void {
    this.#strangers.delete(peer)
    client.strangers.delete(peer)
  }
}

/** Resets the first; the reset lets it leave the set. */
function resetOldest(strangers: ReadonlySet<Peer>): boolean {
  const [oldest] = strangers
  oldest?.reset()
  return oldest !== undefined
}
