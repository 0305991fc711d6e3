import assert from 'node:assert/strict'
import { sampleUpdates } from 'sallyport/samples'

describe('sample ticket updates', () => {
  it('hold exactly one that the ticket agent fails on', () => {
    const failing = sampleUpdates().filter(
      ({ agent_id, status }) => agent_id === 'agent_XYZ' && status === 'error',
    )
    assert.equal(failing.length, 1)
  })

  it('have ticket ids that never come twice', () => {
    const ids = Array.from({ length: 20 }, () => sampleUpdates()).flatMap(updates =>
      updates.map(u => u.ticket_id),
    )
    assert.equal(new Set(ids).size, ids.length)
  })

  it('carry the time at which they were made', () => {
    const now = Date.UTC(2026, 0, 2, 3, 4, 5)
    for (const { timestamp } of sampleUpdates(now)) assert.equal(timestamp, '2026-01-02T03:04:05.000Z')
  })
})
