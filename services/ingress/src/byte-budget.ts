/**
 * The bytes of requests, head and body, that may be held at once, by all and by each client address.
 *
 * - R4. Who stays away with the rest of a body makes room for who comes: where there are no bytes left, the body that
 *   has been arriving for the longest is given up, of the same address where it is the address's share that is used up.
 *   A body that has arrived is never given up.
 * - R5. What is taken is given back exactly once, and at once when a body is given up: it does not wait for its peer.
 */
import { heldBodies } from '@sallyport/core/metrics'

/** What one client address may hold, and holds; see `caller-limits.ts`. */
export interface ByteShare {
  readonly bytesMax: number
  bytes: number
  readonly arriving: Set<Holding>
}

/** What one body holds. */
export class Holding {
  readonly share: ByteShare | null
  /** Held by the headers until the request is answered. */
  readonly headBytes: number
  bytes = 0
  /** It has arrived, or was given up. */
  settled = false
  /** Gives the body up and its bytes back; while it is arriving. */
  readonly giveUp: () => void

  constructor(share: ByteShare | null, headBytes: number, giveUp: () => void) {
    this.share = share
    this.headBytes = headBytes
    this.giveUp = giveUp
  }
}

/** `all`: the whole budget is used up by bodies that have arrived. `share`: so is the address's part of it. */
export type Taken = 'taken' | 'all' | 'share'

export class ByteBudget {
  readonly #bytesMax: number
  readonly #arriving = new Set<Holding>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Begins a request that holds nothing yet. `share` is null where the address is not limited. */
  open(share: ByteShare | null, headBytes: number, giveUp: () => void): Holding {
    return new Holding(share, headBytes, giveUp)
  }

  /** Takes more bytes for a body, or none (R4). */
  take(holding: Holding, bytes: number): Taken {
    const { share } = holding
    if (share !== null && !makeRoom(share.arriving, holding, () => share.bytes + bytes <= share.bytesMax)) {
      return 'share'
    }
    if (!makeRoom(this.#arriving, holding, () => this.#bytes + bytes <= this.#bytesMax)) return 'all'
    this.#add(holding, bytes)
    if (!holding.settled) {
      this.#arriving.add(holding)
      share?.arriving.add(holding)
    }
    return 'taken'
  }

  /** The body has arrived and holds so many bytes from now on, beside its head; it is not given up any more. */
  arrived(holding: Holding, bytes: number): void {
    this.#settle(holding)
    this.#add(holding, holding.headBytes + bytes - holding.bytes)
  }

  /** Gives everything back; calling it again changes nothing (R5). */
  close(holding: Holding): void {
    this.#settle(holding)
    this.#add(holding, -holding.bytes)
  }

  #settle(holding: Holding): void {
    holding.settled = true
    this.#arriving.delete(holding)
    holding.share?.arriving.delete(holding)
  }

  #add(holding: Holding, bytes: number): void {
    this.#bytes += bytes
    holding.bytes += bytes
    if (holding.share !== null) holding.share.bytes += bytes
    heldBodies.bytes += bytes
  }
}

/** Gives up the oldest of those that arrive, but not `own`, until there is room. */
function makeRoom(arriving: Set<Holding>, own: Holding, isRoom: () => boolean): boolean {
  if (isRoom()) return true
  for (const holding of arriving) {
    if (holding === own) continue
    holding.giveUp()
    if (isRoom()) return true
  }
  return false
}
