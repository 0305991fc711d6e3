import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '@sallyport/core/log'
import { metrics } from '@sallyport/core/metrics'
import { Breaker, type BreakerSettings } from '@sallyport/processor/breaker'
import { ErrorRate } from '@sallyport/processor/error-rate'
import { Gate } from '@sallyport/processor/gate'

const log = createLog('test')
log.level = 'silent'

/** As long as a test needs the breaker to stay open. */
const FOR_EVER_MS = 3_600_000

const breakers: Breaker[] = []

function breakerOf(settings: Partial<BreakerSettings> = {}) {
  let now = 0
  const gate = new Gate('unit', log)
  const breaker = new Breaker(
    'unit',
    {
      windowMs: 60_000,
      errorRate: 0.5,
      attemptsMin: 4,
      pauseMs: FOR_EVER_MS,
      pauseMsMax: FOR_EVER_MS,
      ...settings,
    },
    gate,
    log,
    () => now,
  )
  breakers.push(breaker)
  return {
    gate,
    breaker,
    isOpen: () => gate.enter(() => {}),
    /** One attempt after the other, each with this verdict. */
    attempts: (count: number, verdict: 'up' | 'down' | 'nothing') =>
      Array.from({ length: count }, () => breaker.end(breaker.begin(), verdict)),
    pass(ms: number) {
      now += ms
    },
    /** Resolves once the gate lets one through. */
    probe: () => new Promise<void>(resolve => gate.enter(resolve) && resolve()),
  }
}

async function metric(name: string, labels: string): Promise<string | undefined> {
  return (await metrics.metrics()).split('\n').find(line => line.startsWith(`${name}{${labels}}`))
}

describe('circuit breaker', () => {
  afterEach(() => {
    for (const breaker of breakers.splice(0)) breaker.stop()
  })

  it('opens when enough of the attempts in the window fail, and charges no failure from then on (B1)', () => {
    const { attempts, isOpen, gate } = breakerOf()
    assert.deepEqual(attempts(3, 'down'), ['charged', 'charged', 'charged'])
    assert.equal(isOpen(), true)
    assert.deepEqual(attempts(1, 'down'), ['put back'])
    assert.equal(isOpen(), false)
    assert.deepEqual([...gate.holds], ['breaker'])
  })

  it('stays closed below the rate, and forgets what is older than the window', () => {
    const { attempts, isOpen, pass } = breakerOf()
    attempts(8, 'up')
    attempts(7, 'down')
    assert.equal(isOpen(), true)
    pass(60_001)
    attempts(3, 'down')
    assert.equal(isOpen(), true)
  })

  it('what the handler decides by itself does not count (B2)', () => {
    const { attempts, isOpen } = breakerOf()
    assert.deepEqual(new Set(attempts(50, 'nothing')), new Set(['charged']))
    assert.equal(isOpen(), true)
  })

  it('failures of attempts that were under way when it opened are put back; their successes are not', () => {
    const { breaker, attempts } = breakerOf()
    const [failing, succeeding, fatal] = [breaker.begin(), breaker.begin(), breaker.begin()]
    attempts(4, 'down')
    assert.equal(breaker.end(failing, 'down'), 'put back')
    assert.equal(breaker.end(succeeding, 'up'), 'charged')
    assert.equal(breaker.end(fatal, 'nothing'), 'charged')
  })

  it('lets one probe through after the pause; its success closes the breaker', async () => {
    const { breaker, attempts, probe, isOpen } = breakerOf({ pauseMs: 1 })
    attempts(4, 'down')
    await probe()
    const watched = breaker.begin()
    assert.equal(isOpen(), false, 'a second attempt must wait for the probe')
    assert.equal(breaker.end(watched, 'up'), 'charged')
    assert.equal(isOpen(), true)
    assert.deepEqual(attempts(3, 'down'), ['charged', 'charged', 'charged'], 'it counts from the start')
  })

  it('a probe that fails is put back, and the next pause is twice as long, up to the longest', async () => {
    const pauses: number[] = []
    const child = log.child({})
    child.warn = ((facts: { probeInMs?: number }) => facts.probeInMs && pauses.push(facts.probeInMs)) as never
    const gate = new Gate('unit', log)
    const settings = { windowMs: 60_000, errorRate: 0.5, attemptsMin: 1, pauseMs: 1, pauseMsMax: 5 }
    const breaker = new Breaker('unit', settings, gate, child, () => 0)
    breaker.end(breaker.begin(), 'down')
    for (let i = 0; i < 4; i++) {
      await new Promise<void>(resolve => gate.enter(resolve) && resolve())
      assert.equal(breaker.end(breaker.begin(), 'down'), 'put back')
    }
    breaker.stop()
    assert.deepEqual(pauses, [1, 2, 4, 5, 5])
  })

  it('a probe that says nothing is followed by another one at once', async () => {
    const { breaker, attempts, probe, isOpen } = breakerOf({ pauseMs: 1 })
    attempts(4, 'down')
    await probe()
    breaker.end(breaker.begin(), 'nothing')
    assert.equal(isOpen(), true)
    breaker.end(breaker.begin(), 'up')
    assert.equal(isOpen(), true)
  })

  it('an attempt that began before it opened is no probe, even when it ends while one is awaited', async () => {
    const { breaker, attempts, probe } = breakerOf({ pauseMs: 1 })
    const old = breaker.begin()
    attempts(4, 'down')
    await probe()
    breaker.end(old, 'up')
    assert.equal(breaker.end(breaker.begin(), 'down'), 'put back')
    breaker.stop()
  })

  it('its state is in the metrics', async () => {
    const { attempts } = breakerOf()
    assert.match(
      (await metric('sallyport_processor_breaker', 'processor="unit",state="closed"')) ?? '',
      / 1$/,
    )
    attempts(4, 'down')
    assert.match((await metric('sallyport_processor_breaker', 'processor="unit",state="open"')) ?? '', / 1$/)
    assert.match(
      (await metric('sallyport_processor_intake_held', 'processor="unit",reason="breaker"')) ?? '',
      / 1$/,
    )
  })
})

describe('intake gate', () => {
  it('opens when nothing holds it any more, and wakes who waited', () => {
    const gate = new Gate('unit', log)
    let woken = 0
    gate.hold('paused')
    gate.hold('breaker')
    assert.equal(
      gate.enter(() => woken++),
      false,
    )
    gate.release('breaker')
    assert.equal(woken, 0)
    gate.release('paused')
    assert.equal(woken, 1)
    gate.release('paused')
    assert.equal(woken, 1)
  })

  it('a probe does not pass what an operator paused', async () => {
    const gate = new Gate('unit', log)
    gate.hold('breaker')
    gate.hold('paused')
    gate.letOneThrough()
    assert.equal(
      gate.enter(() => {}),
      false,
    )
    gate.release('paused')
    await sleep(0)
    assert.equal(
      gate.enter(() => {}),
      true,
    )
    gate.shutBehind()
    assert.equal(
      gate.enter(() => {}),
      false,
    )
  })

  it('a task that has ended is not woken', () => {
    const gate = new Gate('unit', log)
    gate.hold('paused')
    const wake = () => assert.fail('woken')
    gate.enter(wake)
    gate.forget(wake)
    gate.release('paused')
  })
})

describe('error rate', () => {
  it('counts the last 100 attempts, so that an outage shows soon however many succeeded before', () => {
    const rate = new ErrorRate(60_000, () => 0)
    for (let i = 0; i < 1_000; i++) rate.add(false)
    for (let i = 0; i < 50; i++) rate.add(true)
    assert.deepEqual(rate.read(), { attempts: 100, failures: 50 })
  })
})
