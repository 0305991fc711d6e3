import assert from 'node:assert/strict'
import { type RawRecord, RecordDecoder } from '../../../services/subscriber/src/decode.ts'

describe('a subscriber', () => {
  it('takes a header that a foreign producer set to null for none, whatever its name', async () => {
    const headers = { ce_id: null, traceparent: null, 'x-twice': ['a', null], 'x-last': [null, 'b'] }
    const message = { key: null, value: null, headers, offset: '0', timestamp: '0', attributes: 0 }
    const raw = { topic: 't', partition: 0, message } as unknown as RawRecord
    const { signal } = new AbortController()
    const decoded = await new RecordDecoder('agent-event.v1', async () => undefined).decode(raw, signal)
    assert.equal(decoded?.kind, 'poison')
    assert.deepEqual(decoded?.kind === 'poison' && decoded.poison.headers, { 'x-last': 'b' })
  })
})
