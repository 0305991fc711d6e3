import assert from 'node:assert/strict'
import { retryTier } from '@sallyport/core/topics'
import { dueAt, type InputSpec } from '@sallyport/processor/inputs'
import { differingSettings } from '@sallyport/processor/member-settings'

function due(kind: InputSpec['kind'], delayMs: number, own?: string): number {
  const headers = own === undefined ? {} : { 'sallyport-delay': Buffer.from(own) }
  const record = { topic: 't', partition: 0, offset: 0, timestamp: 1_000, key: null, value: null, headers }
  return dueAt({ topic: 't', kind, delayMs }, record)
}

describe('when a record is due', () => {
  const retired = Number.POSITIVE_INFINITY
  it('in a tier: after its delay, or the one that held when it was written where that is shorter', () => {
    assert.equal(due('retry', 5_000), 6_000)
    assert.equal(due('retry', 5_000, '60000'), 6_000)
    assert.equal(due('retry', 60_000, '5000'), 6_000)
  })

  it('in a tier that the settings no longer name: after its own delay, at once where it has none', () => {
    assert.equal(due('retry', retired, '5000'), 6_000)
    assert.equal(due('retry', retired), 1_000)
    assert.equal(due('retry', retired, 'never'), 1_000)
  })

  it('elsewhere: at once, whatever its headers say and whatever time its leader had', () => {
    assert.equal(due('events', 0, '5000'), Number.NEGATIVE_INFINITY)
    assert.equal(due('redrive', 0, '5000'), Number.NEGATIVE_INFINITY)
  })
})

describe('names of tiers', () => {
  const cases: [string, number | undefined][] = [
    ['sallyport.agent.retry.3', 3],
    ['sallyport.agent.retry.0', undefined],
    ['sallyport.agent.retry.03', undefined],
    ['sallyport.agent.retry.3.x', undefined],
    ['sallyport.agent-b.retry.3', undefined],
    ['sallyport.agent.redrive', undefined],
  ]
  for (const [topic, tier] of cases) {
    it(`${topic}: ${tier ?? 'none'}`, () => assert.equal(retryTier('agent', topic), tier))
  }
})

describe('settings of a group’s members', () => {
  it('are compared by name; members of other versions may say anything', () => {
    assert.deepEqual(differingSettings(['{"a":1,"b":[1]}', '{"a":1,"b":[1]}']), [])
    assert.deepEqual(differingSettings(['{"a":1,"b":[1]}', '{"a":2,"b":[1]}']), ['a'])
    assert.deepEqual(differingSettings(['{"a":1}', '']), ['a'])
    assert.deepEqual(differingSettings(['{"a":1}', 'null']), ['a'])
  })
})
