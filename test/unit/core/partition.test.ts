import assert from 'node:assert/strict'
import { murmur2, partitionOf } from '@sallyport/core/partition'
import fc from 'fast-check'
import kafkajs from 'kafkajs'

describe('partition', () => {
  // The values of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
  const java: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ]
  for (const [key, hash] of java) {
    it(`murmur2 of ${key} is Java's`, () => assert.equal(murmur2(Buffer.from(key)), hash))
  }

  it('every key lands where the Java-compatible partitioner of another client puts it', () => {
    const partitioner = kafkajs.Partitioners.DefaultPartitioner()
    const count = 12
    const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({ partitionId, leader: 1 }))
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), bytes => {
        const key = Buffer.from(bytes)
        const theirs = partitioner({
          topic: 't',
          partitionMetadata: partitionMetadata as never,
          message: { key, value: null },
        })
        assert.equal(partitionOf(key, count), theirs)
      }),
    )
  })
})
