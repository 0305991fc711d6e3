/** Milliseconds since the epoch. Stages take it as an argument, so that tests can move time. */
export type Clock = () => number

export const systemClock: Clock = Date.now

/** As the system's clock at the start of the process; whoever sets that one later does not move it. */
export const steadyClock: Clock = () => performance.timeOrigin + performance.now()

/** Brokers' clocks that differ by more are not believed at once, ms. */
const LEAP_MS = 60_000
/** For how long, and how often, brokers must agree on another time before it is believed. */
const DOUBT_MS = 60_000
const ANSWERS_MIN = 5
/** With so many leaders most of them tell the time, whatever one of them says. */
const MOST_OF = 3
/** A leader that was not heard of for this long has no say any more, ms: brokers go away. */
const SILENT_MS_MAX = 86_400_000
/** How often answers are wanted while a leader's clock is odd: at first, and then by how long it has been; ms. */
const ASK_MS_MIN = 10_000
const ASK_SHARE = 10

/** Hears of leaders whose clocks are odd. */
export interface OddClocks {
  /** A leader's clock differs by more than a minute from what is believed; ms, positive where it is ahead. */
  differs(leader: string, aheadMs: number): void
  /** It does no longer. */
  agrees(leader: string): void
  /** Most leaders have agreed on another time for long enough: it is believed now. */
  moved(byMs: number): void
}

const NOBODY: OddClocks = { differs() {}, agrees() {}, moved() {} }

interface Heard {
  readonly offsetMs: number
  readonly at: number
}

/**
 * The brokers' clock, estimated from our own records: all topics use LogAppendTime, so each produce answer tells
 * what time it was at the leader between the request and the answer. Windows and due times follow this clock,
 * never the failing host's.
 *
 * One broker whose clock leaps must not let claims expire. What counts is the lower median of what the leaders said
 * last; and where that moves by more than a minute, either way, it is believed once it has held for a minute and five
 * answers. A cluster of one broker whose clock is set right is believed then, too. Only the beginning is freer, since the
 * first answer may be the odd one: for a minute a second leader may put the time back, and most of three may set it.
 */
export class BrokerClock {
  readonly #local: Clock
  readonly #oddClocks: OddClocks
  readonly #leaders = new Map<string, Heard>()
  readonly #odd = new Set<string>()
  #offsetMs = 0
  /** When the first answer came, by the local clock. */
  #begunAt: number | undefined
  /** Another time that most leaders tell, and since when they do. */
  #doubt: { offsetMs: number; readonly since: number; answers: number } | undefined
  /** Since when some leader is odd. */
  #oddSince: number | undefined

  constructor(local: Clock, oddClocks: OddClocks = NOBODY) {
    this.#local = local
    this.#oddClocks = oddClocks
  }

  /** Takes one produce answer into account: `appendTimeMs` was read by `leader` between `sentMs` and now. */
  observe(appendTimeMs: number, sentMs: number, leader = ''): void {
    const at = this.#local()
    // An answer that took long tells little: this process may have stood still between the two.
    if (appendTimeMs < 0 || at - sentMs > LEAP_MS) return
    this.#leaders.set(leader, { offsetMs: appendTimeMs - (sentMs + at) / 2, at })
    for (const [name, heard] of this.#leaders) if (at - heard.at > SILENT_MS_MAX) this.#forget(name)
    this.#weigh(at)
    this.#tellOdd(at)
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

  /** How often answers are wanted, ms, since a leader's clock is odd; undefined where none is. */
  get asksEveryMs(): number | undefined {
    if (this.#oddSince === undefined) return undefined
    return Math.max(ASK_MS_MIN, (this.#local() - this.#oddSince) / ASK_SHARE)
  }

  #weigh(at: number): void {
    const offsets = [...this.#leaders.values()].map(({ offsetMs }) => offsetMs).sort((a, b) => a - b)
    const told = offsets[Math.floor((offsets.length - 1) / 2)] as number
    const isFirst = this.#begunAt === undefined
    this.#begunAt ??= at
    const byMs = told - this.#offsetMs
    if (isFirst || Math.abs(byMs) <= LEAP_MS || this.#isBeginning(at, byMs)) {
      this.#offsetMs = told
      this.#doubt = undefined
      return
    }
    if (this.#doubt === undefined || Math.abs(told - this.#doubt.offsetMs) > LEAP_MS) {
      this.#doubt = { offsetMs: told, since: at, answers: 0 }
    }
    this.#doubt.offsetMs = told
    this.#doubt.answers++
    if (this.#doubt.answers < ANSWERS_MIN || at - this.#doubt.since < DOUBT_MS) return
    this.#offsetMs = told
    this.#doubt = undefined
    this.#oddClocks.moved(byMs)
  }

  /** Whether the first answers may still be put right. */
  #isBeginning(at: number, byMs: number): boolean {
    if (at - (this.#begunAt as number) > DOUBT_MS) return false
    return this.#leaders.size >= MOST_OF || (this.#leaders.size === 2 && byMs < 0)
  }

  #tellOdd(at: number): void {
    for (const [name, { offsetMs }] of this.#leaders) {
      const aheadMs = offsetMs - this.#offsetMs
      if (Math.abs(aheadMs) > LEAP_MS) {
        this.#odd.add(name)
        this.#oddClocks.differs(name, aheadMs)
      } else if (this.#odd.delete(name)) {
        this.#oddClocks.agrees(name)
      }
    }
    if (this.#odd.size === 0) this.#oddSince = undefined
    else this.#oddSince ??= at
  }

  #forget(leader: string): void {
    this.#leaders.delete(leader)
    if (this.#odd.delete(leader)) this.#oddClocks.agrees(leader)
  }
}
