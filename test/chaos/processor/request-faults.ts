/** What happens to requests and answers between processes and brokers: a proxy does it to those that begin there. */
import { setTimeout as sleep } from 'node:timers/promises'
import { shiftAppendTimes } from '../../support/kafka-proxy/append-times.ts'
import type { KafkaProxy } from '../../support/kafka-proxy/kafka-proxy.ts'
import { randomRule } from '../../support/kafka-proxy/random-rule.ts'
import { ofApi, untouched } from '../../support/kafka-proxy/rule.ts'

/** The requests of transactions. */
const TROUBLED = ofApi('InitProducerId', 'AddPartitionsToTxn', 'Produce', 'TxnOffsetCommit', 'EndTxn')
/** What happens to how many of a hundred. */
const PERCENT = { delay: 5, overtake: 5, duplicate: 20, cut: 2, drop: 1 }
/** A delay, and no death. */
const DELAY_MS_MAX = 1_000
/** A copy may come when later transactions have begun and ended. */
const COPY_MS_MAX = 5_000
/** Further than any window: a claim would have expired. */
const LEAP_MS = 25 * 3_600_000

export class RequestFaults {
  /** What was done to requests, and how many times. */
  readonly deeds = new Map<string, number>()
  /** `host:port` of each broker, through the proxy. */
  readonly brokers: readonly string[]
  readonly #proxy: KafkaProxy

  constructor(proxy: KafkaProxy) {
    this.#proxy = proxy
    this.brokers = proxy.brokers
  }

  /** Returns how many requests something happened to. */
  async trouble(ms: number, seed: number): Promise<number> {
    let count = 0
    this.#proxy.use(
      randomRule(seed, {
        matches: TROUBLED,
        percent: PERCENT,
        delayMsMax: DELAY_MS_MAX,
        copyMsMax: COPY_MS_MAX,
        sendAgain: this.#proxy.sendAgain,
        onDeed: deed => {
          count++
          this.deeds.set(deed, (this.deeds.get(deed) ?? 0) + 1)
        },
      }),
    )
    await sleep(ms)
    this.#proxy.use(untouched)
    return count
  }

  /** The clock of one broker, the one that is written to next, leaps ahead; then it is right again. */
  async leapClock(ms: number): Promise<void> {
    let broker: number | undefined
    this.#proxy.use(
      shiftAppendTimes(request => {
        broker ??= request.broker
        return request.broker === broker
      }, LEAP_MS),
    )
    await sleep(ms)
    this.#proxy.use(untouched)
  }
}
