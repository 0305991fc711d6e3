/** Says which brokers' clocks are not believed, in the log and in the metrics. */
import type { OddClocks } from '@sallyport/core/clock'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import { brokerClockAhead } from '@sallyport/core/metrics'

export class OddClockReport implements OddClocks {
  readonly #log: Log
  readonly #said = new Set<string>()

  constructor(log: Log) {
    this.#log = log
  }

  differs(leader: string, aheadMs: number): void {
    brokerClockAhead.set({ broker: leader }, aheadMs / 1_000)
    if (this.#said.has(leader)) return
    this.#said.add(leader)
    const error = new SallyportError(
      'SP_BROKER_CLOCK',
      `the clock of broker ${leader} is ${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} what the brokers said before; it is not believed unless most of them agree for a minute, and no claim is forgotten early; set the broker’s clock right`,
    )
    this.#log.error({ broker: leader, aheadMs: Math.round(aheadMs) }, errorMessage(error))
  }

  agrees(leader: string): void {
    brokerClockAhead.remove({ broker: leader })
    if (this.#said.delete(leader)) this.#log.info({ broker: leader }, 'the broker’s clock agrees again')
  }

  moved(byMs: number): void {
    this.#log.warn(
      { byMs: Math.round(byMs) },
      'most brokers have agreed on another time for a minute: claims and retries follow it now',
    )
  }
}
