import assert from 'node:assert/strict'
import { AdminListener } from '@sallyport/processor/admin'
import { eventOn, Topics } from '../support/events.ts'
import { agentEvent, PARTITIONS, testProcessor, testSettings } from '../support/processor.ts'
import { rawKafka, rawTransactionalProducer } from '../support/raw-kafka.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

describe('the lag of a processor that is stuck', function () {
  this.timeout(120_000)

  it('is in the metrics by input and partition, in records and in seconds, and is gone when it goes on', async () => {
    const connection = await sharedCluster()
    const topics = new Topics(connection, PARTITIONS)
    const admin = new AdminListener(() => 'ready')
    const url = await admin.listen('127.0.0.1', 0)
    const release = Promise.withResolvers<void>()
    const settings = testSettings()
    const processor = testProcessor(
      connection,
      async (event, { attempt, emit }) => {
        if (attempt === 1) throw new Error('not yet')
        await release.promise
        emit(processor.output, agentEvent(event.id, attempt))
      },
      { retry: ['1ms'], timeout: '1h', concurrency: 1 },
      { ...settings, processing: { ...settings.processing, lagIntervalMs: 100 } },
    )
    const [retry] = processor.config.topics.retry as [string]
    const [stuck, other] = [1, 2]

    /** What `/metrics` says of an input. */
    async function lag(what: 'records' | 'seconds', topic: string, partition: number) {
      const labels = `{processor="${processor.config.name}",topic="${topic}",partition="${partition}"}`
      const name = `sallyport_processor_lag_${what}${labels} `
      const line = (await (await fetch(`${url}/metrics`)).text())
        .split('\n')
        .find(text => text.startsWith(name))
      return line === undefined ? undefined : Number(line.slice(name.length))
    }

    async function until(condition: () => Promise<boolean>): Promise<void> {
      const deadline = performance.now() + 60_000
      while (!(await condition())) {
        assert.ok(performance.now() < deadline, `the metrics did not come to say: ${condition}`)
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    }

    try {
      const running = await processor.start()
      for (let partition = 0; partition < PARTITIONS; partition++) {
        await until(async () => (await lag('records', 'sallyport.events', partition)) === 0)
      }
      const events = Array.from({ length: 3 }, () => eventOn(stuck, PARTITIONS, processor.source, {}))
      await topics.append(events.slice(0, 1))
      // The only slot is the retry's now; what comes later is not begun.
      await topics.read(retry, () => true, 1)
      await until(async () => ((await lag('records', retry, stuck)) ?? 0) > 0)
      await topics.append(events.slice(1))
      await until(async () => (await lag('records', 'sallyport.events', stuck)) === 2)
      await until(async () => ((await lag('seconds', 'sallyport.events', stuck)) ?? 0) >= 1)
      await until(async () => ((await lag('seconds', retry, stuck)) ?? 0) >= 1)
      assert.equal(await lag('records', 'sallyport.events', other), 0)
      assert.equal(await lag('seconds', 'sallyport.events', other), 0)
      release.resolve()
      // What follows is nothing that is read: aborted records, and their marker.
      const foreign = await rawTransactionalProducer(
        rawKafka(connection.brokers),
        `foreign-${processor.source}`,
      )
      const transaction = await foreign.transaction()
      for (const topic of ['sallyport.events', retry])
        await transaction.send({ topic, messages: [{ partition: stuck, key: 'k', value: 'v' }] })
      await transaction.abort()
      await foreign.disconnect()
      for (const topic of ['sallyport.events', retry]) {
        await until(async () => (await lag('records', topic, stuck)) === 0)
        assert.equal(await lag('seconds', topic, stuck), 0)
      }
      await running.drain(2_000)
      assert.equal(await lag('records', retry, stuck), undefined)
    } finally {
      release.resolve()
      await processor.stop()
      await topics.close()
      admin.close()
    }
  })
})
