import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { eventOn, Topics } from '../support/events.ts'
import { agentEvent, PARTITIONS, testProcessor, testSettings } from '../support/processor.ts'

const EXPIRY_MS = 6_000

describe('a partition that is quiet for longer than Kafka remembers transactional ids', function () {
  this.timeout(240_000)
  let cluster: Cluster
  let topics: Topics

  before(async () => {
    const properties = {
      'transactional.id.expiration.ms': String(EXPIRY_MS),
      'transaction.remove.expired.transaction.cleanup.interval.ms': '500',
    }
    cluster = await startCluster({ brokers: 1, properties })
    topics = new Topics(cluster, PARTITIONS)
  })
  after(async () => {
    await topics.close()
    await cluster.stop()
  })

  it('goes on with its next event, in the same stay', async () => {
    // Setup: brokers that forget a transactional id after 6 s instead of 7 days, and a window of a day, a quarter of which
    // is longer. Timeline: an event is processed; nothing comes for 15 s; another event comes. Proves: the id was used
    // meanwhile. Otherwise the producer is refused, and the whole stay ends with the event of one quiet partition.
    const processor = testProcessor(
      cluster,
      ({ id }, { attempt, emit }) => emit(processor.output, agentEvent(id, attempt)),
      {},
      testSettings('window: 24h'),
    )
    const events = [1, 2].map(() => eventOn(0, PARTITIONS, processor.source, {}))
    try {
      await processor.start()
      for (const [i, event] of events.entries()) {
        await topics.append([event])
        await topics.read(processor.output, () => true, i + 1)
        await sleep(2.5 * EXPIRY_MS)
      }
      assert.ok(!processor.lines.some(line => line.includes('left the group')))
    } finally {
      await processor.stop()
    }
  })
})
