import assert from 'node:assert/strict'
import { checkTimeout, refreshEveryMs, shortestWindowMs } from '@sallyport/processor/windows'

describe('the shortest window', () => {
  const settings = { windowMs: 60_000, sources: { crm: { window: '10s' }, shop: {}, slow: { window: '7d' } } }

  it('is a source’s own where that is shorter than the general one', () => {
    assert.equal(shortestWindowMs(settings, null), 10_000)
    assert.equal(shortestWindowMs(settings, new Set(['shop', 'slow'])), 60_000)
  })
})

describe('what must not expire', () => {
  const DAY_MS = 86_400_000

  it('is written again every quarter of the window, and of the time for which Kafka remembers transactional ids', () => {
    assert.equal(refreshEveryMs(DAY_MS, 7 * DAY_MS), DAY_MS / 4)
    assert.equal(refreshEveryMs(60 * DAY_MS, 7 * DAY_MS), (7 * DAY_MS) / 4)
  })
})

describe('a timeout', () => {
  const settings = { windowMs: 3_600_000, sources: { crm: { window: '10m' } } }
  const processor = { name: 'agent', delaysMs: [], timeoutMs: 150_000, sources: null }

  it('of a processor without tiers is at most a quarter of the shortest window', () => {
    checkTimeout(processor, settings)
    checkTimeout({ ...processor, timeoutMs: 900_000, sources: new Set(['shop']) }, settings)
    checkTimeout({ ...processor, timeoutMs: 86_400_000, delaysMs: [5_000] }, settings)
    assert.throws(
      () => checkTimeout({ ...processor, timeoutMs: 150_001 }, settings),
      /SP_PROCESSOR: agent\.timeout is 3m, and it has no retry tiers.*shortest window \(10m\)/,
    )
  })
})
