import assert from 'node:assert/strict'
import { type Claim, type ClaimState, isExpired, isFresh } from '@sallyport/processor/claim'

function claim(state: ClaimState, generation = 0, attempt = 1): Claim {
  return { state, generation, attempt, windowMs: 1_000, at: 10_000 }
}
const first = { generation: 0, attempt: 1 }

describe('claim rule', () => {
  it('an id without a claim is fresh from everywhere', () => {
    for (const kind of ['events', 'retry', 'redrive'] as const)
      assert.equal(isFresh(kind, first, undefined), true)
  })

  for (const state of ['PENDING', 'DONE', 'DEAD'] as const) {
    it(`a main record whose id is ${state} is a duplicate`, () =>
      assert.equal(isFresh('events', first, claim(state)), false))
  }

  it('a retry record is fresh only for the attempt that its claim awaits', () => {
    const awaited = claim('PENDING', 4, 2)
    assert.equal(isFresh('retry', { generation: 4, attempt: 2 }, awaited), true)
    assert.equal(isFresh('retry', { generation: 4, attempt: 1 }, awaited), false)
    assert.equal(isFresh('retry', { generation: 4, attempt: 3 }, awaited), false)
    assert.equal(isFresh('retry', { generation: 3, attempt: 2 }, awaited), false)
  })

  it('a retry record is a duplicate once its id is DONE or DEAD', () => {
    assert.equal(isFresh('retry', { generation: 0, attempt: 2 }, claim('DONE', 0, 2)), false)
    assert.equal(isFresh('retry', { generation: 0, attempt: 2 }, claim('DEAD', 0, 2)), false)
  })

  it('a redriven record passes once: its generation must be greater than the claim’s', () => {
    assert.equal(isFresh('redrive', { generation: 7, attempt: 1 }, claim('DEAD', 0)), true)
    assert.equal(isFresh('redrive', { generation: 7, attempt: 1 }, claim('DONE', 7)), false)
    assert.equal(isFresh('redrive', { generation: 6, attempt: 1 }, claim('DEAD', 7)), false)
  })

  it('a redriven record does not pass over an id that has taken effect, whatever its generation', () => {
    assert.equal(isFresh('redrive', { generation: 7, attempt: 1 }, claim('DONE', 0)), false)
    assert.equal(isFresh('redrive', { generation: 7, attempt: 1 }, claim('DONE', 3)), false)
    assert.equal(isFresh('redrive', { generation: 7, attempt: 1 }, claim('PENDING', 0, 2)), true)
  })

  it('a replayed record passes over what took effect before its replay, and only over that', () => {
    const replayed = { generation: 7, attempt: 1, replay: 7 }
    assert.equal(isFresh('redrive', replayed, claim('DONE', 0)), true)
    assert.equal(isFresh('redrive', replayed, claim('DONE', 7)), false)
    // What that replay could not read, and a later redrive sends.
    const redriven = { generation: 9, attempt: 1, replay: 7 }
    assert.equal(isFresh('redrive', redriven, claim('DONE', 6)), true)
    assert.equal(isFresh('redrive', redriven, claim('DONE', 8)), false)
  })

  it('a settled claim holds for its window from its append time, and not a moment longer', () => {
    assert.equal(isExpired(claim('DONE'), 10_999), false)
    assert.equal(isExpired(claim('DONE'), 11_000), true)
  })

  it('a pending claim holds until it is settled', () => {
    assert.equal(isExpired(claim('PENDING'), Number.MAX_SAFE_INTEGER), false)
  })
})
