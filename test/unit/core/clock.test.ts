import assert from 'node:assert/strict'
import { BrokerClock, steadyClock } from '@sallyport/core/clock'

const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const LEAP_MS = 25 * HOUR_MS

/** Brokers whose clocks are off by so much, and what a process makes of their answers. */
function brokers(offsets: Record<string, number>, localOffsetMs = 0) {
  let true_ = 1_000 * HOUR_MS
  const told: string[] = []
  const clock = new BrokerClock(() => true_ + localOffsetMs, {
    differs: (leader, aheadMs) => told.push(`${leader} differs by ${Math.round(aheadMs / HOUR_MS)} h`),
    agrees: leader => told.push(`${leader} agrees`),
    moved: byMs => told.push(`moved by ${Math.round(byMs / HOUR_MS)} h`),
  })
  return {
    clock,
    offsets,
    told,
    pass: (ms: number) => {
      true_ += ms
    },
    answer(leader: string, tookMs = 0) {
      const sentMs = clock.local()
      true_ += tookMs
      clock.observe(true_ - tookMs / 2 + (offsets[leader] ?? 0), sentMs, leader)
    },
    /** How far it is from the truth, ms. */
    get errorMs() {
      return clock.now() - true_
    },
  }
}

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

  it('an answer that took more than a minute changes nothing: the process may have stood still', () => {
    const site = brokers({ a: 0 })
    site.answer('a')
    site.answer('a', 10 * MINUTE_MS)
    assert.equal(site.errorMs, 0)
    assert.deepEqual(site.told, [])
  })

  for (const [way, leapMs] of [
    ['forward', LEAP_MS],
    ['back', -LEAP_MS],
  ] as const) {
    it(`does not follow one of three brokers that leaps ${way}, however long`, () => {
      const site = brokers({ a: 0, b: 0, c: 0 })
      for (const leader of ['a', 'b', 'c']) site.answer(leader)
      site.pass(HOUR_MS)
      site.offsets.b = leapMs
      for (let i = 0; i < 100; i++) {
        site.answer('b')
        site.pass(10 * SECOND_MS)
        assert.ok(Math.abs(site.errorMs) < MINUTE_MS)
      }
      site.offsets.b = 0
      site.answer('b')
      assert.deepEqual([site.told[0], site.told.at(-1)], [`b differs by ${leapMs / HOUR_MS} h`, 'b agrees'])
    })

    it(`does not follow a leap ${way} of the only broker that passes, and follows one that lasts`, () => {
      const site = brokers({ a: 0 })
      site.answer('a')
      site.pass(HOUR_MS)
      site.offsets.a = leapMs
      for (let i = 0; i < 50; i++) {
        site.answer('a')
        site.pass(SECOND_MS)
      }
      assert.equal(site.errorMs, 0)
      site.offsets.a = 0
      site.answer('a')
      site.offsets.a = leapMs
      for (let i = 0; i < 7; i++) {
        assert.equal(site.errorMs, 0)
        site.answer('a')
        site.pass(10 * SECOND_MS)
      }
      assert.equal(site.errorMs, leapMs)
      assert.ok(site.told.includes(`moved by ${leapMs / HOUR_MS} h`))
      assert.equal(site.clock.asksEveryMs, undefined)
    })
  }

  it('follows when most brokers agree on another time for a minute', () => {
    const site = brokers({ a: 0, b: 0, c: 0 })
    for (const leader of ['a', 'b', 'c']) site.answer(leader)
    site.pass(HOUR_MS)
    Object.assign(site.offsets, { a: LEAP_MS, b: LEAP_MS })
    for (let i = 0; i < 8; i++) {
      for (const leader of ['a', 'b', 'c']) site.answer(leader)
      site.pass(10 * SECOND_MS)
    }
    assert.equal(site.errorMs, LEAP_MS)
  })

  for (const [way, leapMs] of [
    ['ahead', LEAP_MS],
    ['behind', -LEAP_MS],
  ] as const) {
    it(`is right as soon as three have answered, also where the first is ${way}`, () => {
      const site = brokers({ a: leapMs, b: 0, c: 0 })
      for (const leader of ['a', 'b', 'c']) site.answer(leader)
      assert.equal(site.errorMs, 0)
    })
  }

  it('asks for more answers while a leader’s clock is odd, and less often the longer it is', () => {
    const site = brokers({ a: 0, b: 0 })
    site.answer('a')
    assert.equal(site.clock.asksEveryMs, undefined)
    site.pass(HOUR_MS)
    site.offsets.a = LEAP_MS
    site.answer('b')
    site.answer('a')
    assert.equal(site.clock.asksEveryMs, 10 * SECOND_MS)
    site.pass(HOUR_MS)
    assert.equal(site.clock.asksEveryMs, HOUR_MS / 10)
  })

  it('a broker that was not heard of for a day has no say', () => {
    const site = brokers({ a: 0, b: 0, c: 0 })
    for (const leader of ['a', 'b', 'c']) site.answer(leader)
    site.pass(30 * HOUR_MS)
    site.offsets.a = LEAP_MS
    for (let i = 0; i < 8; i++) {
      site.answer('a')
      site.pass(10 * SECOND_MS)
    }
    assert.equal(site.errorMs, LEAP_MS)
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
