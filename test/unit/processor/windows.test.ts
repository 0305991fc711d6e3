import assert from 'node:assert/strict'
import { refreshEveryMs, shortestWindowMs } from '@sallyport/processor/windows'

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
