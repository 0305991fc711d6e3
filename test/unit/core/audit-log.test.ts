import assert from 'node:assert/strict'
import { AUDIT_SCHEMA } from '@sallyport/core/audit'
import { AuditLog } from '@sallyport/core/audit-log'
import { encodeWire } from '@sallyport/core/codec'
import type { PartitionReader } from '@sallyport/core/kafka/partition-reader'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import { SchemaBook } from '@sallyport/core/schema-book'
import { AUDIT_TOPIC } from '@sallyport/core/topics'
import { auditRecord } from '../../support/audit-records.ts'

const PAUSE = auditRecord({ kind: 'PAUSE', step: 'FINISHED', why: 'the database moves' })

/** An audit that holds these values. */
function auditOf(values: readonly Buffer[], registry: Pick<SchemaRegistry, 'find'>): AuditLog {
  const records = values.map((value, offset) => ({ offset, timestamp: 1_000, key: Buffer.from('p'), value }))
  const reader = {
    bounds: async () => new Map([[0, { low: 0, high: records.length }]]),
    async *read() {
      yield { topic: AUDIT_TOPIC, partition: 0, records, nextOffset: records.length }
    },
  } as unknown as PartitionReader
  return new AuditLog({ reader, registry: registry as SchemaRegistry })
}

describe('the audit', () => {
  const pause = encodeWire(7, AUDIT_SCHEMA.type, PAUSE)

  it('has an operator’s pause also where the registry, just started, denies its schema at first (U1)', async () => {
    let asked = 0
    const questions = {
      url: 'http://registry',
      schemaText: async () => (++asked === 1 ? undefined : AUDIT_SCHEMA.text),
      hasSubjects: async () => true,
    }
    const state = await auditOf([pause], new SchemaBook(questions, 10)).read()
    assert.equal(state.pauseOf('p')?.paused, true)
    assert.equal(asked, 2)
  })

  it('cannot be read while the registry denies everything: a pause is not passed over (U1, U2)', async () => {
    const questions = {
      url: 'http://registry',
      schemaText: async () => undefined,
      hasSubjects: async () => false,
    }
    const audit = auditOf([pause], new SchemaBook(questions, 0))
    await assert.rejects(audit.read(), { code: 'SP_REGISTRY_UNREACHABLE', retryable: true })
  })

  it('is read in a bounded time where 1,000 strangers wrote into it, each under an id of its own (G5)', async () => {
    const foreign = Array.from({ length: 1_000 }, (_, i) => encodeWire(1_000 + i, AUDIT_SCHEMA.type, PAUSE))
    const questions = {
      url: 'http://registry',
      schemaText: async (id: number) => (id === 7 ? AUDIT_SCHEMA.text : undefined),
      hasSubjects: async () => true,
    }
    const startedAt = performance.now()
    const state = await auditOf([...foreign, pause], new SchemaBook(questions, 200)).read()
    const tookMs = performance.now() - startedAt
    assert.equal(state.pauseOf('p')?.paused, true)
    assert.ok(tookMs < 1_500, `${tookMs} ms`)
  })

  it('that is followed no more is left at once, in the midst of a doubt', async () => {
    const questions = {
      url: 'http://registry',
      schemaText: async () => undefined,
      hasSubjects: async () => true,
    }
    const stopping = new AbortController()
    const following = auditOf([pause], new SchemaBook(questions, 5_000)).followPauses(
      stopping.signal,
      () => {},
    )
    setTimeout(() => stopping.abort(), 20)
    const startedAt = performance.now()
    await following
    assert.ok(performance.now() - startedAt < 4_000)
  })
})
