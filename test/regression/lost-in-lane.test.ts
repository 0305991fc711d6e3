/** What expired in the redrive lane was not processed: the real binary, a real broker. */
import assert from 'node:assert/strict'
import type { Operation } from '@sallyport/core/audit'
import { partitionOf } from '@sallyport/core/partition'
import { lostOf, withLost } from '@sallyport/processor/claims-record'
import { type Lane, LaneFate } from 'sallyport/operations/lane-fate'
import { Operator } from '../support/operator.ts'
import { PARTITIONS } from '../support/processor.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'

/** Operations 10 and 20, which sent the letters of partition 0 to the lane up to 30 and up to 60. */
const [first, second] = [
  { id: 10, startedAt: 0, progress: new Map([[0, { partition: 0, through: 100, laneEnd: 30 }]]) },
  { id: 20, startedAt: 0, progress: new Map([[0, { partition: 0, through: 200, laneEnd: 60 }]]) },
] as unknown as [Operation, Operation]
const BATCHES = [
  { partition: 0, through: 150, laneEnd: 45 },
  { partition: 0, through: 200, laneEnd: 60 },
]

const LOST = { from: 45, until: 60, at: 0 }

function letter(offset: number, fromElsewhere = false) {
  return { offset, home: 0, fromElsewhere }
}

describe('what was sent into a lane that has lost records', () => {
  it('is lost where it lay among them, batch by batch; what came before and behind is processed', async () => {
    const fate = new LaneFate([first, second])
    const lane: Lane = { settled: 60, lost: LOST, isIdle: true }
    await fate.prepare(0, LOST, async ({ id }) => (id === 20 ? BATCHES : []))
    assert.equal(fate.of(lane, first, letter(50)), 'passed')
    assert.equal(fate.of(lane, second, letter(149)), 'passed')
    assert.equal(fate.of(lane, second, letter(150)), 'lost')
    assert.equal(fate.of(lane, second, letter(3, true)), 'lost')
    assert.equal(
      fate.of({ ...lane, lost: { ...LOST, from: 0, until: 30 } }, second, letter(3, true)),
      'passed',
    )
    assert.equal(fate.of({ ...lane, settled: 59 }, second, letter(150)), 'waiting')
    const later = { ...second, startedAt: 86_400_000 }
    assert.equal(fate.of(lane, later, letter(150)), 'passed')
    assert.equal(fate.of({ ...lane, lost: undefined }, second, letter(150)), 'passed')
  })

  it('is told by marks beside the positions, which take in what was lost later', () => {
    const marked = withLost([{ topic: 'other', offset: 7 }], 'lane', { from: 10, until: 20, at: 1 })
    const inputs = Object.fromEntries(
      withLost(marked, 'lane', { from: 30, until: 40, at: 2 }).map(({ topic, offset }) => [topic, offset]),
    )
    assert.deepEqual(lostOf('lane', inputs), { from: 10, until: 40, at: 2 })
    assert.equal(inputs.other, 7)
    assert.equal(lostOf('another', inputs), undefined)
  })
})

describe('a letter whose record in the lane expired', function () {
  // Each command is a process, and a busy machine takes its time.
  this.timeout(300_000)
  let operator: Operator

  afterEach(() => operator.leave())

  it('is dead, not processed, within the window and behind it, and can be redriven', async () => {
    // Setup: three letters of one partition; one is redriven and processed. Timeline: the processor stops; the others are
    // redriven; their records in the lane expire; the processor starts and passes the place. Proves: they are dead while
    // their claims are there, and when those are gone; the first one is processed all the while. They counted as
    // processed, and no operation ever took them again.
    operator = await Operator.withProcessor()
    const { processor, topics, cluster } = operator
    const { redrive, claims } = processor.config.topics
    await operator.deadEvents(12)
    const ids = (await operator.listed()).map(({ id }) => String(id))
    const places = Map.groupBy(ids, id => partitionOf(Buffer.from(id), PARTITIONS))
    const [partition, own] = [...places].sort(([, a], [, b]) => b.length - a.length)[0] as [number, string[]]
    const [one, ...others] = own as [string, ...string[]]
    operator.isBroken = () => false
    assert.equal((await operator.dlq('redrive', '--yes', one)).code, 0)
    await operator.outputIds(1)
    await processor.stop()
    assert.equal((await operator.dlq('redrive', '--yes', ...others)).code, 0)
    await rawAdmin(rawKafka(cluster.brokers), async admin => {
      // It loads the metadata that kafkajs needs for the next request, and says where the partition ends.
      const ends = await admin.fetchTopicOffsets(redrive)
      const { high } = ends.find(end => end.partition === partition) as { high: string }
      await admin.deleteTopicRecords({ topic: redrive, partitions: [{ partition, offset: high }] })
    })
    await processor.start()
    const dead = await operator.untilListed('dead', 12 - 1)
    assert.deepEqual(dead.map(({ id }) => String(id)).sort(), ids.filter(id => id !== one).sort())
    // As behind the window, when compaction and retention have taken the claims.
    await topics.appendRaw(
      claims,
      own.map(key => ({ partition, key, value: null })),
    )
    assert.equal((await operator.listed('--state', 'dead')).length, 11)
    assert.deepEqual(
      (await operator.listed('--state', 'processed')).map(({ id }) => id),
      [one],
    )
    assert.equal((await operator.dlq('redrive', '--yes', ...others)).code, 0)
    assert.deepEqual(await operator.outputIds(own.length), [...own].sort())
  })
})
