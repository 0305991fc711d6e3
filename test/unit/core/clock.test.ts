import assert from 'node:assert/strict'
import { BrokerClock, steadyClock } from '@sallyport/core/clock'

const HOUR_MS = 3_600_000

describe('the brokers’ clock', () => {
  it('is told from produce answers, however far the local clock is off', () => {
    const brokerMs = 1_000 * HOUR_MS
    let local = brokerMs + HOUR_MS
    const clock = new BrokerClock(() => local)
    assert.equal(clock.now(), brokerMs + HOUR_MS)
    const sentMs = clock.local()
    local += 20
    clock.observe(brokerMs + 10, sentMs)
    assert.equal(clock.now(), brokerMs + 20)
    local += 5_000
    assert.equal(clock.now(), brokerMs + 5_020)
  })

  it('an answer without a time changes nothing', () => {
    const clock = new BrokerClock(() => 5)
    clock.observe(-1, 0)
    assert.equal(clock.now(), 5)
  })

  it('does not follow the system’s clock when somebody sets it', () => {
    const { now } = Date
    try {
      Date.now = () => now() + HOUR_MS
      const difference = Math.abs(steadyClock() - now())
      assert.ok(difference < HOUR_MS / 2, `${difference} ms apart`)
    } finally {
      Date.now = now
    }
  })
})
