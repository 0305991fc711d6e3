import assert from 'node:assert/strict'
import { shortestWindowMs } from '@sallyport/processor/windows'

describe('the shortest window', () => {
  const settings = { windowMs: 60_000, sources: { crm: { window: '10s' }, shop: {}, slow: { window: '7d' } } }

  it('is a source’s own where that is shorter than the general one', () => {
    assert.equal(shortestWindowMs(settings, null), 10_000)
    assert.equal(shortestWindowMs(settings, new Set(['shop', 'slow'])), 60_000)
  })
})
