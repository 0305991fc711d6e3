import assert from 'node:assert/strict'
import { crc32c, Reader, readRecordsBatch } from '@platformatic/kafka'
import {
  type BatchRecord,
  encodeBatch,
  encodeRecord,
  recordBytesMax,
  sequenceAfter,
} from '@sallyport/core/kafka/record-batch'
import fc from 'fast-check'

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map(array => Buffer.from(array))
const text = fc.string({ unit: 'binary', maxLength: 90 })
const header = fc.oneof(fc.option(text), bytes(90), fc.array(fc.option(bytes(20)), { maxLength: 3 }))
const record = fc.record({
  key: fc.option(bytes(200)),
  value: fc.option(
    fc.oneof(
      bytes(300),
      fc.integer({ min: 60, max: 20_000 }).map(length => Buffer.alloc(length, 7)),
    ),
  ),
  headers: fc.dictionary(fc.string({ maxLength: 20 }), header, { maxKeys: 8 }),
}) satisfies fc.Arbitrary<BatchRecord>

/** A header's name and values, as a reader has them. */
function asRead([name, given]: [string, unknown]): [string, Buffer | null][] {
  return (Array.isArray(given) ? given : [given]).map(one => [
    Buffer.from(name).toString(),
    one === null ? null : Buffer.from(one),
  ])
}

describe('record batch', () => {
  it('what is written is what a reader of the format reads, with its checksum and within its bound', () => {
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1, maxLength: 150 }),
        fc.bigInt({ min: 0n, max: 2n ** 62n }),
        fc.integer({ min: 0, max: 32_767 }),
        fc.integer({ min: 0, max: 2 ** 31 - 1 }),
        fc.boolean(),
        (records, producerId, epoch, sequence, isTransactional) => {
          const encodedRecords = records.map(encodeRecord)
          const identity = { producerId, epoch, sequence, isTransactional }
          const encoded = encodeBatch(encodedRecords, identity, 1_700_000_000_123)
          assert.ok(encoded.length <= encodedRecords.reduce((sum, each) => sum + recordBytesMax(each), 61))
          const read = readRecordsBatch(Reader.from(encoded))
          assert.equal(read.length, encoded.length - 12)
          assert.equal(read.magic, 2)
          assert.equal(read.crc, crc32c(encoded.subarray(21)) >>> 0)
          assert.equal(read.producerId, producerId)
          assert.equal(read.producerEpoch, epoch)
          assert.equal(read.firstSequence, sequence)
          assert.equal(read.attributes, isTransactional ? 0x10 : 0)
          assert.equal(read.lastOffsetDelta, records.length - 1)
          assert.equal(read.maxTimestamp, 1_700_000_000_123n)
          read.records.forEach((each, i) => {
            const written = records[i] as BatchRecord
            assert.equal(each.offsetDelta, i)
            assert.deepEqual(each.key as Buffer, written.key)
            assert.deepEqual(each.value as Buffer, written.value)
            const headers = each.headers as unknown as [Buffer, Buffer | null][]
            assert.deepEqual(
              headers.map(([name, value]) => [String(name), value]),
              Object.entries(written.headers ?? {}).flatMap(asRead),
            )
          })
        },
      ),
      { numRuns: 300 },
    )
  })

  it('a record longer than the space in which records are laid out is whole', () => {
    const long = {
      key: Buffer.from('k'),
      value: Buffer.alloc(300_000, 7),
      headers: { name: 'é'.repeat(40_000) },
    }
    const encoded = encodeBatch([encodeRecord(long)], { producerId: 1n, epoch: 0, sequence: 0 }, 0)
    const [read] = readRecordsBatch(Reader.from(encoded)).records
    assert.deepEqual(read?.value as Buffer | undefined, long.value)
    assert.deepEqual([...(read?.headers ?? [])].map(String), [`name,${long.headers.name}`])
  })

  it('sequence numbers wrap to 0 after 2^31 - 1, as the broker counts them', () => {
    assert.equal(sequenceAfter(0, 5), 5)
    assert.equal(sequenceAfter(2 ** 31 - 1, 1), 0)
    assert.equal(sequenceAfter(2 ** 31 - 3, 5), 2)
  })
})
