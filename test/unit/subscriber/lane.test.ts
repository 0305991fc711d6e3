import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KafkaMessage } from 'kafkajs'
import { Lane } from '../../../services/subscriber/src/lane.ts'

describe('a partition’s lane', () => {
  let passed: string[]
  let remade: number[][]
  let seeks: number[]
  let held: Promise<void>
  let lane: Lane

  beforeEach(() => {
    passed = []
    remade = []
    seeks = []
    held = Promise.resolve()
    lane = new Lane(
      't',
      0,
      {
        async pass({ message }) {
          await held
          passed.push(String(message.value))
          return true
        },
        failed: assert.fail,
        remade: (taken, end) => void remade.push([taken, end]),
      },
      { pause() {}, resume() {}, seek: offset => void seeks.push(offset) },
    )
  })

  function messages(values: Readonly<Record<number, string>>): KafkaMessage[] {
    return Object.entries(values).map(
      ([offset, value]) => ({ offset, value: Buffer.from(value) }) as unknown as KafkaMessage,
    )
  }

  it('reads a topic that was deleted and made again from its start, and says so (J5)', async () => {
    // Setup: a lane that has passed three records. Timeline: its topic is deleted and made again; kafkajs goes back to
    // the start, and fetches what is there. Proves: none of it is left out. All below the third offset used to be.
    lane.offer(messages({ 0: 'a', 1: 'b', 2: 'c' }), 3, 3)
    await sleep(0)
    lane.offer(messages({ 0: 'A' }), 1, 1)
    await sleep(0)
    lane.offer(messages({ 1: 'B' }), 2, 2)
    await sleep(0)
    assert.deepEqual(passed, ['a', 'b', 'c', 'A', 'B'])
    assert.deepEqual(remade, [[3, 1]])
    assert.equal(lane.position, 2)
    lane.keep()
    assert.deepEqual(seeks, [2])
  })

  it('whose topic was made again commits nothing that lies behind its records, also while an old one is handled (J6)', async () => {
    const release = Promise.withResolvers<void>()
    lane.offer(messages({ 7: 'a' }), 8, 8)
    await sleep(0)
    assert.equal(lane.position, 8)
    held = release.promise
    lane.offer(messages({ 8: 'b' }), 9, 9)
    await sleep(0)
    lane.offer(messages({ 0: 'A' }), 1, 1)
    assert.equal(lane.position, undefined)
    held = new Promise(() => {})
    release.resolve()
    await sleep(0)
    assert.deepEqual(passed, ['a', 'b'])
    assert.equal(lane.position, 0)
  })

  it('leaves out what kafkajs fetches again after it has joined again', async () => {
    lane.offer(messages({ 0: 'a', 1: 'b' }), 2, 3)
    await sleep(0)
    lane.offer(messages({ 0: 'a', 1: 'b', 2: 'c' }), 3, 3)
    await sleep(0)
    assert.deepEqual(passed, ['a', 'b', 'c'])
    assert.deepEqual(remade, [])
  })

  it('takes 200,000 records of one fetch over', async () => {
    // Proves: as many as a batch may hold are taken. They used to be handed over as arguments, which ended in a RangeError
    // at every try.
    held = new Promise(() => {})
    const all = Array.from({ length: 200_000 }, (_, i) => ({ offset: String(i) }) as KafkaMessage)
    assert.doesNotThrow(() => lane.offer(all, all.length, all.length))
    lane.keep()
    assert.deepEqual(seeks, [all.length])
  })
})
