/** An operator and the processor that he works on, whose agent can be broken and mended. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '@sallyport/core/log'
import { ensureProvision, sharedProvision } from '@sallyport/core/provision'
import type { Settings } from '@sallyport/core/settings'
import { Fatal } from '@sallyport/processor'
import { processorProvision } from '@sallyport/processor/config'
import { Cli, type Ended, jsonLines } from './cli.ts'
import type { Cluster } from './cluster.ts'
import { committedRecords } from './committed.ts'
import { eventOf, Topics } from './events.ts'
import { agentEvent, PARTITIONS, type TestProcessor, testProcessor, testSettings } from './processor.ts'
import { sharedCluster } from './shared-cluster.ts'

export class Operator {
  readonly cluster: Cluster
  readonly topics: Topics
  readonly cli: Cli
  readonly processor: TestProcessor
  /** Which events the agent gives up, by their body. */
  isBroken: (body: { n: number }) => boolean = () => true

  private constructor(cluster: Cluster, failure: string, settings?: Settings) {
    this.cluster = cluster
    this.topics = new Topics(cluster, PARTITIONS)
    this.cli = new Cli(cluster)
    this.processor = testProcessor(
      cluster,
      (event, { attempt, emit }) => {
        if (this.isBroken(JSON.parse(event.body.toString()))) throw new Fatal(failure)
        emit(this.processor.output, agentEvent(event.id, attempt))
      },
      { concurrency: 50 },
      settings,
    )
  }

  /** On the shared cluster, with the processor running. */
  static async withProcessor(failure = 'the agent is broken', settings?: Settings): Promise<Operator> {
    const operator = new Operator(await sharedCluster(), failure, settings)
    await operator.processor.start()
    return operator
  }

  /** On the shared cluster, with the processor's topics alone: nobody processes. */
  static async withTopics(): Promise<Operator> {
    const operator = new Operator(await sharedCluster(), '')
    const settings = testSettings()
    const log = createLog('test')
    log.level = 'silent'
    for (const part of [sharedProvision(settings), processorProvision(settings, operator.processor.config)])
      await ensureProvision(part, operator.cluster, log)
    return operator
  }

  async leave(): Promise<void> {
    await this.processor.stop()
    await this.topics.close()
  }

  /** Events that all end in the dead letter; their ids in order. */
  async deadEvents(count: number): Promise<string[]> {
    const ids = await this.append(count)
    await this.topics.read(
      this.processor.config.topics.deadLetter,
      ({ key }) => key?.startsWith(this.processor.source) === true,
      count,
    )
    return ids
  }

  /** Events for the processor; their ids in order. */
  async append(count: number): Promise<string[]> {
    const events = Array.from({ length: count }, (_, n) => eventOf(this.processor.source, { n }))
    await this.topics.append(events)
    return events.map(({ id }) => id).sort()
  }

  /** Arguments of a command of `dlq`; whatever else lies in the shared topics may be a dead letter here, too. */
  args(command: string): string[] {
    const filter = command === 'show' ? [] : ['--source', this.processor.source]
    return ['dlq', command, '--processor', this.processor.config.name, ...filter]
  }

  async dlq(command: string, ...args: string[]): Promise<Ended> {
    // What goes on has its own selection.
    const goesOn = args.includes('--resume') || args.includes('--cancel')
    return await this.cli.run([...(goesOn ? ['dlq', command] : this.args(command)), ...args])
  }

  async listed(...args: string[]): Promise<Record<string, unknown>[]> {
    return jsonLines((await this.dlq('list', '--json', ...args)).stdout)
  }

  async untilListed(state: string, count: number): Promise<Record<string, unknown>[]> {
    for (;;) {
      const found = await this.listed('--state', state)
      if (found.length >= count) return found
      await sleep(300)
    }
  }

  /** Ids of the events that the agent has emitted something for, once there are `count` outputs. */
  async outputIds(count: number): Promise<(string | null)[]> {
    await this.topics.read(this.processor.output, () => true, count, 60_000)
    return (await this.topics.readAll(this.processor.output)).map(({ key }) => key).sort()
  }

  /** What stands in one of the processor's own topics. */
  async own(topic: 'deadLetter' | 'redrive') {
    return await committedRecords(this.cluster, this.processor.config.topics[topic])
  }

  /** How many records about the processor the audit holds. */
  async auditRecords(): Promise<number> {
    const records = await committedRecords(this.cluster, 'sallyport.audit')
    return records.filter(({ key }) => String(key) === this.processor.config.name).length
  }
}
