import assert from 'node:assert/strict'
import { AUDIT_SCHEMA, type AuditRecord } from '@sallyport/core/audit'
import { AuditLog } from '@sallyport/core/audit-log'
import { encodeWire } from '@sallyport/core/codec'
import type { PartitionReader } from '@sallyport/core/kafka/partition-reader'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import { AUDIT_TOPIC } from '@sallyport/core/topics'

const PAUSE: AuditRecord = {
  operation: null,
  kind: 'PAUSE',
  step: 'FINISHED',
  processor: 'p',
  by: { user: 'ann', host: 'h', pid: 1 },
  why: 'the database moves',
  command: '',
  selection: null,
  ranges: [],
  progress: null,
  count: 0,
}

describe('the audit', () => {
  it('has an operator’s pause also where the registry, just started, denies its schema at first (U1)', async () => {
    const value = encodeWire(7, AUDIT_SCHEMA.type, PAUSE)
    const record = { offset: 0, timestamp: 1_000, key: Buffer.from('p'), value, headers: {} }
    const reader = {
      bounds: async () => new Map([[0, { low: 0, high: 1 }]]),
      async *read() {
        yield { topic: AUDIT_TOPIC, partition: 0, records: [record], nextOffset: 1, highWatermark: 1 }
      },
    } as unknown as PartitionReader
    let asked = 0
    const registry = {
      find: async () => (++asked === 1 ? undefined : AUDIT_SCHEMA),
    } as unknown as SchemaRegistry
    const audit = new AuditLog(reader, registry)
    const state = await audit.read()
    assert.equal(state.pauseOf('p')?.paused, true)
    assert.equal(asked, 2)
  })
})
