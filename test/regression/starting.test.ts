/** Races while a processor starts. Each test states its setup, its timeline, and what it proves. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { topicBounds, withAdmin } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { createLog } from '@sallyport/core/log'
import { runProcessors } from '@sallyport/processor/main'
import {
  agentEvent,
  PARTITIONS,
  type TestProcessor,
  testProcessor,
  testSettings,
} from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

describe('races while a processor starts', function () {
  this.timeout(60_000)
  let connection: { brokers: readonly string[]; registryUrl: string }
  let processor: TestProcessor

  before(async () => {
    connection = await sharedCluster()
    processor = testProcessor(connection, (event, { attempt, emit }) =>
      emit(processor.output, agentEvent(event.id, attempt)),
    )
  })

  it('asked to stop while it provisions, a processor stops', async () => {
    // Setup: a processor whose topics do not exist yet. Timeline: it begins to create them; it is asked to stop; the
    // provisioning succeeds. Proves: it does not join its group after that. It used to, and ran for ever.
    const log = createLog('test')
    log.level = 'silent'
    const running = runProcessors([processor.config], testSettings(), connection, log)
    const drained = running.drain(1_000).then(() => 'drained')
    assert.equal(await Promise.race([drained, sleep(20_000, 'still running', { ref: false })]), 'drained')
  })

  it('the bounds of many topics are all there, however fresh the client’s metadata are', async () => {
    // Setup: the topics of a processor. Timeline: a new admin client asks for the bounds of all of them. Proves: each
    // topic is answered. Asked at the same time, kafkajs now and then answered one from metadata without it, threw,
    // and the processor left its group.
    const running = await processor.start()
    await running.drain(1_000)
    const { topics } = processor.config
    const names = ['sallyport.events', topics.claims, topics.redrive, topics.deadLetter, ...topics.retry]
    const log = createLog('test')
    log.level = 'silent'
    const kafka = createKafka(connection, 'test', log)
    for (let i = 0; i < 100; i++) {
      const bounds = await withAdmin(kafka, admin => topicBounds(admin, names))
      for (const name of names) assert.equal(bounds.get(name)?.size, PARTITIONS)
    }
  })
})
