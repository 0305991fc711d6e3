import assert from 'node:assert/strict'
import { type ReadBatch, readTopics } from '@sallyport/core/kafka/topic-reader'
import { CannedKafka } from '../../support/canned-kafka.ts'

describe('reading topics with positions of one’s own', () => {
  it('begins where it is told, and brings each record once and without a gap (J1), past what is no record (J2)', async () => {
    const canned = new CannedKafka()
    const batches: ReadBatch[] = []
    const positions = new Map([['topic', new Map([[0, 5]])]])
    const reading = await readTopics(canned.kafka, 'test', positions, batch => void batches.push(batch))
    assert.deepEqual(canned.seeks, [{ topic: 'topic', partition: 0, offset: '5' }])
    await canned.fetched('topic', { 5: 'a', 7: 'b' }, 8)
    canned.passed('topic', 10)
    await canned.fetched('topic', { 11: 'c' }, 11)
    assert.deepEqual(
      batches.map(({ from, next, records }) => [from, records.map(({ key }) => String(key)).join(), next]),
      [
        [5, 'a,b', 9],
        [9, '', 11],
        [11, 'c', 12],
      ],
    )
    await reading.stop()
    await canned.fetched('topic', { 12: 'd' }, 12)
    assert.equal(batches.length, 3)
  })

  it('lets kafkajs fetch on only when the last batch was taken (J3)', async () => {
    const canned = new CannedKafka()
    const taken = Promise.withResolvers<void>()
    const positions = new Map([['topic', new Map([[0, 0]])]])
    const reading = await readTopics(canned.kafka, 'test', positions, () => taken.promise)
    let isOver = false
    const handedOver = canned.fetched('topic', { 0: 'a' }, 0).then(() => {
      isOver = true
    })
    for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
    assert.equal(isOver, false)
    taken.resolve()
    await handedOver
    await reading.stop()
  })

  it('fails with what its reader threw, and hands nothing more over', async () => {
    const canned = new CannedKafka()
    let calls = 0
    const positions = new Map([['topic', new Map([[0, 0]])]])
    const reading = await readTopics(canned.kafka, 'test', positions, () => {
      calls++
      throw new Error('the disk is full')
    })
    await canned.fetched('topic', { 0: 'a' }, 0)
    await canned.fetched('topic', { 1: 'b' }, 1)
    await assert.rejects(reading.failed, /the disk is full/)
    assert.equal(calls, 1)
    await reading.stop()
  })
})
