/**
 * What the callers of one address may hold and get wrong; the address is the one that `caller.ts` tells, also behind
 * trusted proxies.
 *
 * - A6. Failed verifications count until one succeeds: who proves a delivery has the whole allowance again. Providers
 *   send for many customers from few addresses, and one customer's old secret must not shut the others out.
 * - A7. A request of a trusted proxy itself, which names no sender, is not limited.
 */
import type { Clock } from '@sallyport/core/clock'
import type { ByteShare, Holding } from './byte-budget.ts'
import { ClientTable, type Known } from './client-table.ts'
import { requestBytesMax } from './receive.ts'

export interface CallerLimitSettings {
  readonly bodyBytesMax: number
  readonly headerBytesMax: number
  readonly headerLinesMax: number
  readonly inFlightBytesPerAddressMax: number
  readonly failuresPerMinuteMax: number
  readonly addressesMax: number
}

const MINUTE_MS = 60_000

/** One address: its share of the byte budget, and its failed verifications of the last minute. */
export class CallerShare implements ByteShare, Known {
  bytes = 0
  readonly bytesMax: number
  readonly arriving = new Set<Holding>()
  readonly #failuresMax: number
  readonly #clock: Clock
  /** Falls by `failuresMax` a minute, as of `#failedAt`. */
  #failures = 0
  #failedAt = 0

  constructor(bytesMax: number, failuresMax: number, clock: Clock) {
    this.bytesMax = bytesMax
    this.#failuresMax = failuresMax
    this.#clock = clock
  }

  inUse(): boolean {
    return this.bytes > 0
  }

  forgettable(): boolean {
    return this.#level() === 0
  }

  /** 0, or for how many ms no delivery of the address is looked at, because too many failed. */
  barredMs(): number {
    const over = this.#level() + 1 - this.#failuresMax
    return over <= 0 ? 0 : Math.ceil((over * MINUTE_MS) / this.#failuresMax)
  }

  failed(): void {
    this.#failures = this.#level() + 1
    this.#failedAt = this.#clock()
  }

  verified(): void {
    this.#failures = 0
  }

  /** A clock that goes back forgets nothing. */
  #level(): number {
    if (this.#failures === 0) return 0
    const elapsedMs = Math.max(0, this.#clock() - this.#failedAt)
    return Math.max(0, this.#failures - (elapsedMs * this.#failuresMax) / MINUTE_MS)
  }
}

export class CallerLimits {
  readonly #shares: ClientTable<CallerShare>

  constructor(settings: CallerLimitSettings, clock: Clock) {
    const { inFlightBytesPerAddressMax, failuresPerMinuteMax, addressesMax } = settings
    // A share in which the longest request has no room would refuse it for ever.
    const bytesMax = Math.max(inFlightBytesPerAddressMax, requestBytesMax(settings))
    this.#shares = new ClientTable(addressesMax, () => new CallerShare(bytesMax, failuresPerMinuteMax, clock))
  }

  /** How many addresses are known. */
  get addresses(): number {
    return this.#shares.size
  }

  /** What the callers of a client share; `clientOf` tells the client. */
  of(client: string): CallerShare {
    return this.#shares.of(client)
  }
}
