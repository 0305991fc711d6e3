import assert from 'node:assert/strict'
import { encodeWire } from '@sallyport/core/codec'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { ClaimStore } from '@sallyport/processor/claim-store'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { barrierRecord } from '@sallyport/processor/claims-record'
import { CLAIM_SCHEMA } from '@sallyport/processor/config'
import { Restore } from '@sallyport/processor/restore'

const HOUR_MS = 3_600_000
const NOW = 1_000 * HOUR_MS
const CLAIMS = 20_000

describe('the restore of claims', () => {
  it('lets no claim go, and none hold longer, by the time of a record that is ahead of the barrier', async () => {
    // Setup: 20,000 claims that hold for a day. Timeline: the leader's clock was 25 hours ahead while it took one in a
    // hundred of them; a new owner reads them back. Proves: all hold, and for a day; by the records' own times those that
    // were read before had expired, and went when their part of the table grew.
    const store = new ClaimStore(new ClaimsBudget(1e9, () => {}))
    const registry = {
      register: async () => 1,
      check: async () => ({ kind: 'new' as const }),
      find: async () => undefined,
      glance: async () => undefined,
      recall: async () => {},
    }
    const schemas = { claim: 1, positions: 2, barrier: 3 }
    const restore = new Restore(store, 'nonce', { from: 0, notAfter: NOW }, schemas, registry, {
      pause() {},
      resume() {},
    })
    const claim = { state: 'DONE', generation: 0, attempt: 1, windowMs: 24 * HOUR_MS }
    const value = encodeWire(1, CLAIM_SCHEMA.type, claim)
    const record = (
      offset: number,
      key: Buffer | null,
      value: Buffer | null,
      timestamp: number,
    ): FetchedRecord => ({
      topic: 'claims',
      partition: 0,
      offset,
      timestamp,
      key,
      value,
      headers: {},
    })
    const records = Array.from({ length: CLAIMS }, (_, i) =>
      record(i, Buffer.from(`crm/${i}`), value, NOW - HOUR_MS + (i % 100 === 50 ? 25 * HOUR_MS : 0)),
    )
    const barrier = barrierRecord(3, 'nonce', 'process')
    records.push(record(CLAIMS, barrier.key, barrier.value, NOW))
    const end = CLAIMS + 1
    restore.offer({ topic: 'claims', partition: 0, records, nextOffset: end, highWatermark: end })
    await restore.done
    const ids = Array.from({ length: CLAIMS }, (_, i) => `crm/${i}`)
    assert.equal(ids.filter(id => store.get(id, NOW) === undefined).length, 0)
    assert.equal(ids.filter(id => store.get(id, NOW + 24 * HOUR_MS) !== undefined).length, 0)
  })
})
