import assert from 'node:assert/strict'
import { replayOf } from '@sallyport/core/round'

describe('on whose behalf a record of the redrive lane runs', () => {
  it('is its own replay, where it is marked as replayed', () => {
    assert.equal(replayOf({ 'sallyport-replayed': 'true' }, 7), 7)
  })

  it('is nobody’s where it was redriven, also by a version that did not say so', () => {
    assert.equal(replayOf({ 'sallyport-redriven': '0' }, 7), 0)
    assert.equal(replayOf({}, 7), 0)
  })

  it('is the replay that could not read it, where that says so; a redrive’s word goes before the replay’s', () => {
    assert.equal(replayOf({ 'sallyport-redriven': '5', 'sallyport-replayed': 'true' }, 7), 5)
  })

  it('is nobody’s where a foreign producer wrote the mark', () => {
    for (const mark of ['', '-1', '1e3', '9'.repeat(16)]) {
      assert.equal(replayOf({ 'sallyport-redriven': mark, 'sallyport-replayed': 'true' }, 7), 0)
    }
    assert.equal(replayOf({ 'sallyport-replayed': ['false', 'true', null] }, 7), 0)
  })
})
