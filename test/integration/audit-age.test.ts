/** What operations leave in the audit, and what an old audit costs: the real binary, a real broker. */
import assert from 'node:assert/strict'
import { AUDIT_SCHEMA, type AuditRecord } from '@sallyport/core/audit'
import { AuditLog } from '@sallyport/core/audit-log'
import { append } from '@sallyport/core/kafka/append'
import { PartitionReader } from '@sallyport/core/kafka/partition-reader'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import { RegistryReader } from '@sallyport/core/registry-reader'
import { auditRecord, SELECTION } from '../support/audit-records.ts'
import { committedRecords } from '../support/committed.ts'
import { appendDeadLetters } from '../support/dead-letters.ts'
import { Operator } from '../support/operator.ts'

describe('the audit', function () {
  // Each command is a process, and a busy machine takes its time.
  this.timeout(300_000)
  let operator: Operator

  beforeEach(async () => {
    operator = await Operator.withTopics()
  })
  afterEach(() => operator.leave())

  function record(fields: Partial<AuditRecord>): AuditRecord {
    const by = { user: 'ann', host: 'another', pid: 1 }
    return auditRecord({ processor: operator.processor.config.name, by, ...fields })
  }

  it('has a record a second of an operation that sends as fast as it can, and one at the end of each partition (W3)', async () => {
    const { processor, topics, cluster } = operator
    const { name } = processor.config
    const body = { pad: 'x'.repeat(4_000) }
    await appendDeadLetters(topics, name, processor.source, 2_000, { body })
    const { code, stderr } = await operator.dlq('redrive', '--yes')
    assert.equal(code, 0, stderr)
    assert.equal((await operator.own('redrive')).length, 2_000)
    const reader = new RegistryReader<AuditRecord>(AUDIT_SCHEMA, createRegistry(cluster.registryUrl))
    const notes = new Map<number, number[]>()
    for (const { key, value, timestamp } of await committedRecords(cluster, 'sallyport.audit')) {
      if (String(key) !== name || value === null) continue
      const { step, progress } = await reader.decode(value)
      if (step !== 'PROGRESS' || progress === null) continue
      notes.set(progress.partition, [...(notes.get(progress.partition) ?? []), timestamp])
    }
    assert.ok(notes.size > 0)
    for (const times of notes.values()) {
      // The last one is that of the end.
      const gaps = times.slice(1, -1).map((at, i) => at - (times[i] as number))
      assert.ok(
        gaps.every(ms => ms > 800),
        `notes of one partition lie ${gaps.join(', ')} ms apart`,
      )
    }
  })

  it('is given a checkpoint by whoever appends to a long one; what is open or paused stays so (O5)', async () => {
    const { cluster, cli, processor } = operator
    const { name } = processor.config
    const reader = new PartitionReader(cluster, 'test')
    const producers = new ProducerCluster(cluster, 'test')
    const registry = createRegistry(cluster.registryUrl)
    const audit = new AuditLog({ reader, registry, producers })
    const id = await audit.append(record({ selection: SELECTION, command: 'dlq redrive --all' }))
    const resume = record({ kind: 'RESUME', step: 'FINISHED', processor: 'another' })
    const value = audit.encode(resume)
    const records = Array.from({ length: 1_200 }, () => ({ ...value, headers: {} }))
    await append(producers, { topic: 'sallyport.audit', partition: 0, records })
    const checkpoints = async () =>
      (await committedRecords(cluster, 'sallyport.audit')).filter(({ key }) => String(key) === '#checkpoint')
    const before = (await checkpoints()).length
    assert.equal((await cli.run(['pause', name, '--why', 'the database moves'])).code, 0)
    assert.ok((await checkpoints()).length > before)
    const state = await audit.read()
    assert.equal(state.openOperation(name)?.id, id)
    assert.equal(state.pauseOf(name)?.why, 'the database moves')
    await Promise.all([reader.close(), producers.close()])
    const cancelled = await operator.dlq('redrive', '--cancel', String(id), '--yes', '--json')
    assert.equal(cancelled.code, 0, cancelled.stderr)
    assert.equal(JSON.parse(cancelled.stdout).operation.state, 'cancelled')
  })
})
