import assert from 'node:assert/strict'
import { checkTimeout, holdSettings, refreshEveryMs, shortestWindowMs } from '@sallyport/processor/windows'

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

describe('a partition that is held back', () => {
  const settings = {
    windowMs: 3_600_000,
    sources: { crm: { window: '10m' } },
    processing: { holdBackAfter: 5, holdBackForMs: 30_000, holdBackForMaxMs: 600_000 },
  }

  it('is tried again within a quarter of its shortest window: only then are the claims behind its position refreshed', () => {
    assert.deepEqual(holdSettings(settings, null), { ...settings.processing, holdBackForMaxMs: 150_000 })
    assert.deepEqual(holdSettings(settings, new Set(['shop'])), settings.processing)
    const brief = holdSettings({ ...settings, windowMs: 60_000 }, null)
    assert.deepEqual(brief, { holdBackAfter: 5, holdBackForMs: 15_000, holdBackForMaxMs: 15_000 })
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
