/** Milliseconds since the epoch. Stages take it as an argument, so that tests can move time. */
export type Clock = () => number

export const systemClock: Clock = Date.now

/** As the system's clock at the start of the process; whoever sets that one later does not move it. */
export const steadyClock: Clock = () => performance.timeOrigin + performance.now()

/**
 * The brokers' clock, estimated from our own records: all topics use LogAppendTime, so each produce answer tells
 * what time it was at the broker between the request and the answer. Windows and due times follow this clock,
 * never the failing host's.
 */
export class BrokerClock {
  readonly #local: Clock
  #offsetMs = 0

  constructor(local: Clock) {
    this.#local = local
  }

  /** Takes one produce answer into account: `appendTimeMs` was read between `sentMs` and now. */
  observe(appendTimeMs: number, sentMs: number): void {
    if (appendTimeMs < 0) return
    this.#offsetMs = appendTimeMs - (sentMs + this.#local()) / 2
  }

  /** Now, by the clock that it starts from; what `observe` takes as `sentMs`. */
  local(): number {
    return this.#local()
  }

  /** Now, by the brokers' clock; ms since the epoch. */
  now(): number {
    return this.#local() + this.#offsetMs
  }

  /** Broker clock minus local clock, ms. */
  get offsetMs(): number {
    return this.#offsetMs
  }
}
