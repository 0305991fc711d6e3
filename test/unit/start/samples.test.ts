import assert from 'node:assert/strict'
import { sampleUpdates, sign } from 'sallyport/samples'

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

describe('the signature of a sample', () => {
  // Computed with: printf '{"a":1}' | openssl dgst -sha256 -hmac secret
  const EXPECTED = 'aa9e2e3575f5d7098b6caccd790888c36d5fdb63342a73bada2d6a51747a8494'

  it('is the hex HMAC-SHA256 of the bytes, whether text or buffer', () => {
    assert.equal(sign('{"a":1}', 'secret'), EXPECTED)
    assert.equal(sign(Buffer.from('{"a":1}'), 'secret'), EXPECTED)
  })

  it('differs for another secret and for another body', () => {
    assert.notEqual(sign('{"a":1}', 'secret2'), EXPECTED)
    assert.notEqual(sign('{"a":2}', 'secret'), EXPECTED)
  })
})
