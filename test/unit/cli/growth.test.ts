import assert from 'node:assert/strict'
import { growthOf } from 'sallyport/grow/growth'
import { agedClaim } from 'sallyport/grow/move-claims'

const COUNTS = {
  'sallyport.events': 3,
  'sallyport.p.claims': 3,
  'sallyport.p.retry.1': 3,
  'sallyport.p.retry.7': 3,
  'sallyport.p.redrive': 3,
  'sallyport.p.dead-letter': 3,
  'sallyport.agent-events': 3,
}

function growth(changes: Record<string, number>, to: number) {
  return growthOf(new Map(Object.entries({ ...COUNTS, ...changes })), to)
}

describe('growing topics', () => {
  it('claims come first, events last, and everything else that is co-partitioned between them', () => {
    const { from, to, topics } = growth({}, 6)
    assert.deepEqual([from, to, topics.length], [3, 6, 7])
    const stages = Object.fromEntries(topics.map(({ topic, stage }) => [topic, stage]))
    assert.equal(stages['sallyport.p.claims'], 'claims')
    assert.equal(stages['sallyport.events'], 'events')
    assert.equal(stages['sallyport.agent-events'], 'others')
  })

  it('a processor’s inputs are the events, its lane and all its tiers, also those that settings no longer name', () => {
    const [processor] = growth({ 'sallyport.other.redrive': 3 }, 6).processors
    assert.deepEqual(processor?.inputs, [
      'sallyport.events',
      'sallyport.p.retry.1',
      'sallyport.p.retry.7',
      'sallyport.p.redrive',
    ])
  })

  it('a run that was killed goes on from the count of the events, with what has not grown', () => {
    const { from, topics, processors } = growth({ 'sallyport.p.claims': 6, 'sallyport.p.redrive': 6 }, 6)
    assert.deepEqual([from, topics.length, processors[0]?.isLocked], [3, 5, true])
  })

  it('where all topics have the count nothing is left to do', () => {
    assert.deepEqual(growth({}, 3).topics, [])
  })

  it('fewer partitions are refused, also where only a part of the topics has more', () => {
    assert.throws(() => growth({}, 2), /SP_PARTITION_COUNT.*set topics.partitions to 3/)
    assert.throws(() => growth({ 'sallyport.p.claims': 6 }, 4), /SP_PARTITION_COUNT.*to 6/)
  })

  it('a topic that lags behind the events is refused; an output is only given what it lacks', () => {
    assert.throws(() => growth({ 'sallyport.p.redrive': 2 }, 6), /SP_PARTITION_COUNT: sallyport.p.redrive/)
    const { topics } = growth({ 'sallyport.agent-events': 1 }, 3)
    assert.deepEqual(topics, [{ topic: 'sallyport.agent-events', partitions: 1, stage: 'others' }])
  })

  it('a copied claim ends when the claim would have ended; one that waits for its retry does not end (U8)', () => {
    const claim = { state: 'DONE', generation: 7, attempt: 2, windowMs: 1_000 } as const
    assert.deepEqual(agedClaim(claim, 10_000, 10_400.4), { ...claim, windowMs: 600 })
    assert.equal(agedClaim(claim, 10_000, 11_000), null)
    const pending = { ...claim, state: 'PENDING' } as const
    assert.equal(agedClaim(pending, 10_000, 99_000), pending)
  })
})
