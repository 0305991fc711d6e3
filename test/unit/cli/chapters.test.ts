import assert from 'node:assert/strict'
import type { EventStory, OperationStory } from '@sallyport/console/index/story'
import { chapters } from 'sallyport/events/chapters'

function story(operations: readonly OperationStory[]): EventStory {
  return { acceptedAt: 0, operations, steps: [], claims: [] } as unknown as EventStory
}

describe('the story of an event', () => {
  it('tells in words what an operator did, and why', () => {
    const by = { user: 'ann', host: 'desk', pid: 5 }
    const record = { kind: 'REDRIVE', step: 'STARTED', by, why: 'billing is back', count: 3, command: '' }
    assert.deepEqual(chapters(story([{ generation: 7, at: 1_000, record }]))[1], [
      '1970-01-01T00:00:01.000Z',
      '',
      'operation 7: redrive of 3 records by ann@desk (process 5): billing is back',
    ])
  })

  it('has a place for audit records that nobody of this version wrote', () => {
    for (const record of [null, 'text', 5, [], { kind: 7 }, { kind: 'REDRIVE', by: null }]) {
      const [, told] = chapters(story([{ generation: 7, at: 1_000, record }]))
      assert.equal(told?.[2], 'operation 7: a record that this version cannot read')
    }
  })
})
