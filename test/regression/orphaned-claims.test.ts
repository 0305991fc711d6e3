import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { HEADER } from '@sallyport/core/headers'
import { orphanedClaimsTotal } from '@sallyport/core/metrics'
import { partitionOf } from '@sallyport/core/partition'
import type { Claim } from '@sallyport/processor/claim'
import { OrphanWatch } from '@sallyport/processor/orphans'
import { eventOf, type RawRecord, Topics } from '../support/events.ts'
import { agentEvent, PARTITIONS, testProcessor, testSettings } from '../support/processor.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'
import { testSettleQueue } from '../support/settle-queue.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

function pending(at: number): Claim {
  return { state: 'PENDING', generation: 0, attempt: 2, windowMs: 1, at }
}

describe('a claim whose retry is in no tier any more', () => {
  /** Two tiers that end at 10 and 20 when they are looked at; `positions` is how far they are settled. */
  function watch(claims: ReadonlyMap<string, Claim>, ends: ReadonlyMap<string, number> | undefined) {
    const positions = new Map([
      ['a', 0],
      ['b', 20],
    ])
    const found: string[][] = []
    const orphans = new OrphanWatch({
      pending: claims,
      tierEnds: async () => ends,
      position: topic => positions.get(topic) ?? 0,
      now: () => 1_000,
      found: ids => found.push(ids.map(([id]) => id)),
    })
    return { orphans, positions, found }
  }
  const ENDS = new Map([
    ['a', 10],
    ['b', 20],
  ])

  it('is found once all tiers are settled up to where they ended, and no earlier', async () => {
    // Setup: three events are PENDING when the task acquires its partition; the record of one is in a tier, that of
    // another is due later. Timeline: the first one is settled, the tiers are read to their ends, and a fourth event
    // fails. Proves: of those that were there what is left waits for nothing; a claim that came later is not judged.
    const claims = new Map([
      ['settled', pending(1)],
      ['orphan', pending(900)],
    ])
    const { orphans, positions, found } = watch(claims, ENDS)
    await orphans.look(0)
    claims.set('later', pending(1_500))
    orphans.check()
    positions.set('a', 9)
    orphans.check()
    assert.deepEqual(found, [])
    claims.delete('settled')
    positions.set('a', 10)
    orphans.check()
    orphans.check()
    assert.deepEqual(found, [['orphan']])
  })

  it('is not judged while a tier exists that is not read, nor while its transaction may be under way', async () => {
    const claims = new Map([['recent', pending(900)]])
    const unread = watch(claims, undefined)
    await unread.orphans.look(0)
    unread.orphans.check()
    const { orphans, positions, found } = watch(claims, ENDS)
    positions.set('a', 10)
    await orphans.look(500)
    orphans.check()
    assert.deepEqual([unread.found, found], [[], []])
  })

  it('is let go in a transaction, unless it was settled or claimed anew meanwhile', async () => {
    const { queue, claims, written } = testSettleQueue()
    for (const id of ['orphan', 'settled', 'again']) claims.set(id, pending(0), 0)
    const found = [...claims.pending]
    claims.set('settled', { ...pending(0), state: 'DONE' }, 0)
    claims.set('again', pending(5), 0)
    queue.letGo(found)
    await queue.idle()
    assert.deepEqual(
      written.map(({ claimed }) => claimed),
      [['orphan']],
    )
    assert.deepEqual([...claims.pending.keys()], ['again'])
    assert.equal(claims.get('orphan', 0), undefined)
  })
})

describe('an event whose retry is lost', function () {
  this.timeout(300_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())

  it('is said, and its id is let go, so that a repetition is processed', async () => {
    // Setup: an event has failed and waits for an hour in the tier. Timeline: its processor stops; the tier's records
    // expire; it starts again; the sender repeats the event. Proves: SP_CLAIM_ORPHANED names the event, and the
    // repetition takes effect. It was a duplicate for ever, of an event that was in no topic any more.
    let broken = true
    const processor = testProcessor(
      connection,
      (event, { attempt, emit }) => {
        if (broken) throw new Error('not yet')
        emit(processor.output, agentEvent(event.id, attempt))
      },
      { retry: ['1h'] },
    )
    const event = eventOf(processor.source, {})
    const [tier] = processor.config.topics.retry as [string]
    try {
      await processor.start()
      await topics.append([event])
      await topics.read(tier, ({ key }) => key === event.id, 1)
      await processor.stop()
      await expireAll(tier, partitionOf(Buffer.from(event.id), PARTITIONS))
      broken = false
      await processor.start()
      await waitFor(() => processor.lines.some(line => line.includes('SP_CLAIM_ORPHANED')))
      const line = processor.lines.find(line => line.includes('SP_CLAIM_ORPHANED'))
      assert.ok(line?.includes(event.id), line)
      const { values } = await orphanedClaimsTotal.get()
      assert.ok(values.some(({ labels, value }) => labels.processor === processor.config.name && value === 1))
      await untilGone(processor.config.topics.claims, event.id)
      await topics.append([event])
      const outputs = await topics.read(processor.output, () => true, 1)
      assert.deepEqual(
        outputs.map(({ key }) => key),
        [event.id],
      )
    } finally {
      await processor.stop()
    }
  })

  it('because its source is no longer taken is in the dead letter, from a tier and from the redrive lane', async () => {
    // Setup: an event waits in a tier, and another one in the redrive lane. Timeline: the processor stops, and starts
    // with settings that no longer name their source. Proves: both are dead letters that say so. They were passed over:
    // the first one's claim waited for ever, and the ledger took the second one for processed.
    const taken = testProcessor(
      connection,
      () => {
        throw new Error('not yet')
      },
      { retry: ['3s'] },
    )
    const [waiting, sent] = [eventOf(taken.source, { n: 1 }), eventOf(taken.source, { n: 2 })]
    const { retry, redrive, deadLetter } = taken.config.topics
    await taken.start()
    await topics.append([waiting])
    await topics.read(retry[0] as string, ({ key }) => key === waiting.id, 1)
    await taken.stop()
    await topics.append([sent], redrive, { [HEADER.generation]: '7', [HEADER.attempt]: '1' })
    const other = testProcessor(
      connection,
      () => {},
      { retry: ['3s'], sources: ['another'] },
      testSettings(),
      taken.config.name,
    )
    try {
      await other.start()
      const mine = ({ key }: RawRecord) => key?.startsWith(taken.source) === true
      const letters = await topics.read(deadLetter, mine, 2)
      const told = letters.map(({ key, headers }) => [key, headers[HEADER.code]])
      assert.deepEqual(
        told.sort(),
        [waiting.id, sent.id].sort().map(id => [id, 'SP_SOURCE_NOT_TAKEN']),
      )
    } finally {
      await other.stop()
    }
  })

  async function untilGone(claims: string, id: string): Promise<void> {
    for (;;) {
      const records = await topics.readAll(claims, ({ key }) => key === id)
      if (records.at(-1)?.value === null) return
      await sleep(100)
    }
  }

  /** Has the broker drop what a partition holds, as retention would. */
  async function expireAll(topic: string, partition: number): Promise<void> {
    await rawAdmin(rawKafka(connection.brokers), async admin => {
      // It loads the metadata that kafkajs needs for the next request, and says where the partition ends.
      const ends = await admin.fetchTopicOffsets(topic)
      const { high } = ends.find(end => end.partition === partition) as { high: string }
      await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: high }] })
    })
  }
})
