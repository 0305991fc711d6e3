import assert from 'node:assert/strict'
import { Reader, readRecordsBatch } from '@platformatic/kafka'
import { type Batch, Lane } from '@sallyport/core/kafka/lane'
import { encodeRecord } from '@sallyport/core/kafka/record-batch'

const LIMITS = { batchBytesMax: 10_000, batchRecordsMax: 3 }
const WRITER = { producerId: 7n, epoch: 0 }

interface Outcome {
  readonly name: string
  readonly how: 'resolved' | 'rejected'
}

/** A lane with an identity, and what its records came to. */
function lane(): {
  lane: Lane
  add: (name: string, deadlineAt?: number, size?: number) => void
  ended: Outcome[]
} {
  const ended: Outcome[] = []
  const made = new Lane(3, LIMITS)
  made.identify(WRITER)
  const add = (name: string, deadlineAt = 1_000, size = 1): void =>
    made.add({
      record: encodeRecord({ key: Buffer.from(name), value: Buffer.alloc(size), headers: {} }),
      deadlineAt,
      resolve: () => ended.push({ name, how: 'resolved' }),
      reject: () => ended.push({ name, how: 'rejected' }),
      settled: false,
    })
  return { lane: made, add, ended }
}

function numbers(batch: Batch | undefined): { epoch: number; sequence: number; keys: string[] } {
  assert.ok(batch)
  const read = readRecordsBatch(Reader.from(batch.bytes))
  return {
    epoch: read.producerEpoch,
    sequence: read.firstSequence,
    keys: read.records.map(({ key }) => String(key)),
  }
}

describe('lane of a partition', () => {
  it('P1: while a batch is under way what comes later waits for the next one', () => {
    const { lane: one, add } = lane()
    add('a')
    const batch = one.nextBatch(0) as Batch
    one.sent(batch)
    add('b')
    assert.equal(one.nextBatch(0), batch)
    assert.equal(one.sending, true)
    one.written(batch)
    assert.deepEqual(numbers(one.nextBatch(0)), { epoch: 0, sequence: 1, keys: ['b'] })
  })

  it('P2: a batch that is sent again is the same bytes', () => {
    const { lane: one, add } = lane()
    add('a')
    const batch = one.nextBatch(0) as Batch
    const bytes = Buffer.from(batch.bytes)
    one.sent(batch)
    one.again(100)
    add('b')
    assert.equal(one.nextBatch(5_000), batch)
    assert.deepEqual(batch.bytes, bytes)
    assert.equal(one.alone, true)
  })

  it('P3: after a batch was given up the next one has a higher epoch and starts at 0', () => {
    const { lane: one, add, ended } = lane()
    add('a')
    const first = one.nextBatch(0) as Batch
    one.sent(first)
    one.written(first)
    add('b', 100)
    const second = one.nextBatch(0) as Batch
    one.sent(second)
    one.expire(100, 'late')
    assert.deepEqual(ended.at(-1), { name: 'b', how: 'rejected' })
    assert.equal(one.awaits(second), false, 'its answer, should it still come, is not taken for the next one')
    add('c')
    assert.deepEqual(numbers(one.nextBatch(0)), { epoch: 1, sequence: 0, keys: ['c'] })
  })

  it('P4: a batch keeps to its bounds in records and bytes, and a large record travels by itself', () => {
    const { lane: one, add } = lane()
    for (const name of ['a', 'b', 'c', 'd']) add(name)
    add('e', 1_000, 9_900)
    add('f')
    const batches: string[][] = []
    for (let batch = one.nextBatch(0); batch !== undefined; batch = one.nextBatch(0)) {
      batches.push(numbers(batch).keys)
      one.written(batch)
    }
    assert.deepEqual(batches, [['a', 'b', 'c'], ['d'], ['e'], ['f']])
  })

  it('P5: each record settles once: late ones by their own deadline, even if their batch is written afterwards', () => {
    const { lane: one, add, ended } = lane()
    add('early', 100)
    add('late', 900)
    const batch = one.nextBatch(0) as Batch
    one.sent(batch)
    one.expire(100, 'late')
    assert.deepEqual(ended, [{ name: 'early', how: 'rejected' }])
    assert.equal(one.awaits(batch), true, 'somebody still waits for it')
    one.written(batch)
    one.expire(5_000, 'late')
    assert.deepEqual(ended, [
      { name: 'early', how: 'rejected' },
      { name: 'late', how: 'resolved' },
    ])
  })

  it('numbers that the broker does not know are replaced only where the batch was surely not written', () => {
    const { lane: one, add, ended } = lane()
    add('a')
    const batch = one.nextBatch(0) as Batch
    one.sent(batch)
    one.renumber(batch, 0, 'UNKNOWN_PRODUCER_ID')
    assert.deepEqual(numbers(one.nextBatch(0)), { epoch: 1, sequence: 0, keys: ['a'] })
    one.sent(batch)
    one.renumber(batch, 0, 'UNKNOWN_PRODUCER_ID')
    assert.deepEqual(ended, [{ name: 'a', how: 'rejected' }], 'an earlier send may have been written')
  })

  it('a producer id whose epochs are used up is replaced by another one', () => {
    const { lane: one, add } = lane()
    for (let i = 0; i <= 32_767; i++) one.refused('no')
    assert.equal(one.needsIdentity, true)
    assert.equal(one.identify(WRITER), false)
    assert.equal(one.identify({ producerId: 8n, epoch: 0 }), true)
    add('a')
    assert.deepEqual(numbers(one.nextBatch(0)), { epoch: 0, sequence: 0, keys: ['a'] })
  })
})
