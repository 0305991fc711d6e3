/** Where a processor begins when retention was faster than it. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureTopics, withAdmin } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { PartitionLogs } from '@sallyport/core/kafka/partition-logs'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import { createLog } from '@sallyport/core/log'
import { expiredUnprocessedTotal } from '@sallyport/core/metrics'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { processorProvision } from '@sallyport/processor/config'
import { inputSpecs } from '@sallyport/processor/inputs'
import { type Logs, readPositions } from '@sallyport/processor/positions'
import type { RestoredPositions } from '@sallyport/processor/restore'
import { eventOn, Topics } from '../support/events.ts'
import { agentEvent, PARTITIONS, testProcessor, testSettings } from '../support/processor.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { waitFor } from '../support/wait-for.ts'

/** From a record that fills a queue until nothing is fetched any more, ms. */
const PAUSED_MS = 1_000

describe('positions', function () {
  this.timeout(90_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let topics: Topics
  let cluster: ProducerCluster

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
    cluster = new ProducerCluster(connection, 'test')
  })
  after(() => Promise.all([topics.close(), cluster.close()]))

  /** A processor that begins at `latest`, its topics, and a way to ask where it begins on partition `p`. */
  async function latest() {
    const config = { ...testProcessor(connection, () => {}).config, start: 'latest' as const }
    const lines: string[] = []
    const log = createLog('test', { write: line => void lines.push(line) })
    log.level = 'error'
    const kafka = createKafka(connection, 'test', log)
    await ensureTopics(kafka, processorProvision(testSettings(), config).topics)
    /** Where each input begins; `logs` answers in the place of the brokers. */
    async function resolve(
      partition: number,
      restored?: RestoredPositions,
      windowMs = 86_400_000,
      logs: Partial<Logs> = {},
    ): Promise<ReadonlyMap<string, number>> {
      const asked = new PartitionLogs(cluster)
      const all: Logs = {
        topicIds: names => asked.topicIds(names),
        epochEnd: (topic, partition, epoch) => asked.epochEnd(topic, partition, epoch),
        ...logs,
      }
      const reader = readPositions(config, inputSpecs(config), windowMs, kafka, all, log)
      const starts = await reader.resolve(partition, restored, Date.now())
      return new Map([...starts].map(([topic, { offset }]) => [topic, offset]))
    }
    return { config, lines, resolve }
  }

  /** Appends `count` records to a partition, and expires the first `expired` of the topic. */
  async function fill(topic: string, partition: number, count: number, expired: number): Promise<void> {
    const records = Array.from({ length: count }, () => ({ partition, key: 'k', value: 'v' }))
    await topics.appendRaw(topic, records)
    if (expired > 0) await expire(topic, partition, expired)
  }

  /** Has the broker drop what lies before an offset, as retention would. */
  async function expire(topic: string, partition: number, offset: number): Promise<void> {
    const partitions = [{ partition, offset: String(offset) }]
    // A broker that was just given a partition may not know yet that it leads it: then it is asked again.
    await withAdmin(createKafka(connection, 'test', createLog('test')), async admin => {
      // It loads the metadata that kafkajs needs for the next request.
      await admin.fetchTopicOffsets(topic)
      await admin.deleteTopicRecords({ topic, partitions })
    })
  }

  async function bounds(partition: number): Promise<{ low: number; high: number }> {
    const all = await rawAdmin(rawKafka(connection.brokers), admin => admin.fetchTopicOffsets(EVENTS_TOPIC))
    const { low, high } = all.find(one => one.partition === partition) as { low: string; high: string }
    return { low: Number(low), high: Number(high) }
  }

  async function expiredUnprocessed(processor: string): Promise<number> {
    const { values } = await expiredUnprocessedTotal.get()
    return values.find(({ labels }) => labels.processor === processor)?.value ?? 0
  }

  it('behind which records expired are said, and the records counted: SP_POSITION_EXPIRED', async () => {
    const { config, lines, resolve } = await latest()
    const [tier] = config.topics.retry as [string]
    await fill(tier, 1, 5, 3)
    const offsets = new Map([...inputSpecs(config)].map(({ topic }) => [topic, 0]))
    const positions = await resolve(1, { offsets, logs: new Map(), writtenAt: Date.now() })
    assert.equal(positions.get(tier), 3)
    const line = lines.find(text => text.includes(tier)) ?? ''
    assert.match(line, /SP_POSITION_EXPIRED: 3 records of .*retry\.1\/1 expired before .* processed them/)
    assert.ok((await expiredUnprocessed(config.name)) >= 3)
  })

  it('that expired themselves are said, and nothing that waited is skipped, also with `latest`', async () => {
    // Setup: events wait; the claims topic has lost its start, as after a window and more without the processor; the group
    // has no offsets. Proves: the processor is not taken for a new one, which would begin behind what waits.
    const { config, lines, resolve } = await latest()
    await fill(EVENTS_TOPIC, 1, 3, 0)
    await fill(config.topics.claims, 1, 2, 2)
    const { low, high } = await bounds(1)
    assert.ok(low < high)
    assert.equal((await resolve(1)).get(EVENTS_TOPIC), low)
    assert.match(
      lines.join(),
      /SP_POSITION_EXPIRED: the position of .* events again that it processed before/,
    )
  })

  it('that lie behind the end go back to where claims keep out what took effect, and no further', async () => {
    // Setup: five records that are older than a window, and two that came after the positions were written. Timeline: the
    // end of the topic is found before the position, as after a power cut of its only broker. Proves: the old ones, whose
    // claims have expired, are not run again, and what is new is not passed over; within the window everything is read.
    const { config, lines, resolve } = await latest()
    const [tier] = config.topics.retry as [string]
    await fill(tier, 2, 5, 0)
    await sleep(1_500)
    const restored = { offsets: new Map([[tier, 100]]), logs: new Map(), writtenAt: Date.now() }
    await fill(tier, 2, 2, 0)
    assert.equal((await resolve(2, restored, 1_000)).get(tier), 5)
    assert.equal((await resolve(2, restored)).get(tier), 0)
    assert.match(
      lines.join(),
      /SP_TOPIC_RECREATED: .*ends at 7, before the position 100 .* read again from 5/,
    )
  })

  it('of a topic that was made again and has grown past them begin anew: its records are new ones', async () => {
    // Setup: the positions say that two records of a tier are settled. Timeline: the tier is deleted and made again while
    // no processor runs, and gets five records. Proves: the topic's id tells; by the offset alone two were passed over,
    // without a word.
    const { config, lines, resolve } = await latest()
    const [tier] = config.topics.retry as [string]
    await fill(tier, 2, 2, 0)
    const topicId = (await new PartitionLogs(cluster).topicIds([tier])).get(tier) as string
    const read = { topicId, leaderEpoch: 0, readTo: 2, held: null }
    const restored = {
      offsets: new Map([[tier, 2]]),
      logs: new Map([[tier, read]]),
      writtenAt: Date.now(),
    }
    assert.equal((await resolve(2, restored)).get(tier), 2)
    await rawAdmin(rawKafka(connection.brokers), admin => admin.deleteTopics({ topics: [tier] }))
    await sleep(1_000)
    const log = createLog('test')
    await ensureTopics(
      createKafka(connection, 'test', log),
      processorProvision(testSettings(), config).topics,
    )
    await fill(tier, 2, 5, 0)
    assert.equal((await resolve(2, restored)).get(tier), 0)
    assert.match(lines.join(), /SP_TOPIC_RECREATED: .*retry\.1\/2 is not the one in which .* stood at 2/)
  })

  it('in a log that lost its end and has grown past them go back to where it ended', async () => {
    // Setup: four records were read under one leader, the position is 3. Timeline: the log loses its end, and grows to five
    // records under the next leader. Proves: it is read from where the first leader's records end now; what is left of
    // them is settled, however old it is. Where they end behind the last one that was read, the rest are markers.
    const { config, lines, resolve } = await latest()
    const [tier] = config.topics.retry as [string]
    await fill(tier, 3, 5, 0)
    const topicId = (await new PartitionLogs(cluster).topicIds([tier])).get(tier) as string
    const at = async (position: number, readTo: number, end: number) => {
      const logs = new Map([[tier, { topicId, leaderEpoch: 0, readTo, held: null }]])
      const restored = { offsets: new Map([[tier, position]]), logs, writtenAt: 0 }
      return (await resolve(3, restored, 1_000, { epochEnd: async () => end })).get(tier)
    }
    assert.equal(await at(3, 4, 2), 2)
    assert.match(lines.join(), /SP_TOPIC_RECREATED: .*lost its records from 2 on, before the position 3/)
    assert.equal(await at(3, 4, 3), 3)
    assert.equal(await at(4, 3, 3), 4)
    assert.equal(await at(9, 9, 5), 5)
  })

  it('that never were are those of a new processor, which begins where `start` says', async () => {
    const { lines, resolve } = await latest()
    await fill(EVENTS_TOPIC, 2, 3, 0)
    assert.equal((await resolve(2)).get(EVENTS_TOPIC), (await bounds(2)).high)
    assert.deepEqual(lines, [])
  })

  it('under a processor that stands still are said and counted, and it goes on behind them', async () => {
    // Setup: a handler that is stuck in its first event, and room for one more in memory. Timeline: forty more events
    // come, and expire; the handler ends; two come that are kept. Proves: the processor says what it lost, processes what
    // it has in memory, and goes on. kafkajs by itself would have gone on behind the gap, after a line in its own log.
    const stuck = Promise.withResolvers<void>()
    let isBegun = false
    const settings = testSettings()
    const processing = { ...settings.processing, queueRecordsMax: 1, queueBytesMax: 65_536 }
    const processor = testProcessor(
      connection,
      async (event, { attempt, emit }) => {
        isBegun = true
        await stuck.promise
        emit(processor.output, agentEvent(event.id, attempt))
      },
      { concurrency: 1 },
      { ...settings, processing },
    )
    const someEvents = (count: number) =>
      Array.from({ length: count }, () => eventOn(3, PARTITIONS, processor.source, {}))
    try {
      await processor.start()
      await topics.append(someEvents(1))
      await waitFor(() => isBegun)
      await topics.append(someEvents(1))
      await sleep(PAUSED_MS)
      await topics.append(someEvents(40))
      await expire(EVENTS_TOPIC, 3, (await bounds(3)).high)
      const kept = someEvents(2)
      await topics.append(kept)
      stuck.resolve()
      await topics.read(processor.output, ({ key }) => kept.some(({ id }) => id === key), kept.length)
      const said = processor.lines.find(line => line.includes('expired before')) ?? ''
      assert.match(said, /SP_POSITION_EXPIRED: \d+ records of sallyport\.events\/3 expired before/)
      assert.equal((await topics.readAll(processor.output)).length, 2 + kept.length)
      assert.ok(!processor.lines.some(line => line.includes('left the group')))
      const counted = await expiredUnprocessed(processor.config.name)
      assert.ok(counted > 0 && counted <= 40, `${counted} records were counted`)
    } finally {
      stuck.resolve()
      await processor.stop()
    }
  })
})
