import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import kafkajs from 'kafkajs'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { coordinatorPartition } from '../support/coordinator.ts'
import { eventOn, Topics } from '../support/events.ts'
import { agentEvent, PARTITIONS, testProcessor } from '../support/processor.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'

describe('a broker of three that hangs, its port open', function () {
  this.timeout(300_000)
  let cluster: Cluster

  before(async () => {
    cluster = await startCluster({ brokers: 3 })
  })
  after(() => cluster?.stop())

  it('and coordinates the group: once others have taken over, events of every partition are processed', async () => {
    // Setup: a processor that has processed events of every partition, by connections to every broker. Timeline: a
    // broker is frozen, its connections stay open; the two others take over what it led; an event comes to each
    // partition. Proves: all are processed while the broker is still frozen. That used to take more than seven
    // minutes; now it takes less than one, or two where the broker is the first of the list.
    const processor = testProcessor(cluster, (event, { attempt, emit }) =>
      emit(processor.output, agentEvent(event.id, attempt)),
    )
    const everywhere = () =>
      Array.from({ length: PARTITIONS }, (_, i) => eventOn(i, PARTITIONS, processor.source, {}))
    let topics = new Topics(cluster, PARTITIONS)
    let frozen: number | undefined
    try {
      await processor.start()
      await topics.append(everywhere())
      assert.equal((await topics.read(processor.output, () => true, PARTITIONS)).length, PARTITIONS)
      await topics.close()

      const { groupId } = processor.config
      frozen = await coordinatorOf(rawKafka(cluster.brokers), groupId)
      cluster.pause(frozen)
      const others = cluster.brokers.filter((_, broker) => broker !== frozen)
      while (!(await leadsNothing(impatientKafka(others), frozen + 1))) await sleep(200)

      topics = new Topics({ brokers: others, registryUrl: cluster.registryUrl }, PARTITIONS)
      await topics.append(everywhere())
      const outputs = await topics.read(processor.output, () => true, 2 * PARTITIONS, 280_000)
      assert.equal(outputs.length, 2 * PARTITIONS)
    } finally {
      if (frozen !== undefined) cluster.resume(frozen)
      await topics.close()
      await processor.stop()
    }
  })
})

/** Asks the next broker soon where one does not answer. */
function impatientKafka(brokers: readonly string[]): kafkajs.Kafka {
  return new kafkajs.Kafka({
    brokers: [...brokers],
    logLevel: kafkajs.logLevel.NOTHING,
    requestTimeout: 1_000,
  })
}

/** The broker that coordinates a group, counted from 0: the one that leads the group's partition of the offsets. */
async function coordinatorOf(kafka: kafkajs.Kafka, groupId: string): Promise<number> {
  const [offsets] = await metadataOf(kafka, '__consumer_offsets')
  const partitions = offsets?.partitions ?? []
  const coordinates = coordinatorPartition(groupId, partitions.length)
  const leads = partitions.find(({ partitionId }) => partitionId === coordinates)
  assert.ok(leads)
  return leads.leader - 1
}

async function leadsNothing(kafka: kafkajs.Kafka, nodeId: number): Promise<boolean> {
  const [events] = await metadataOf(kafka, EVENTS_TOPIC)
  return events?.partitions.every(({ leader }) => leader !== nodeId) === true
}

async function metadataOf(kafka: kafkajs.Kafka, topic: string): Promise<kafkajs.ITopicMetadata[]> {
  return (await rawAdmin(kafka, admin => admin.fetchTopicMetadata({ topics: [topic] }))).topics
}
