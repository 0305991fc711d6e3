/**
 * A steady flow of events through the ingress's publisher, and what became of each: when it was handed to the
 * publisher (accept), when its handler started, and when a read_committed consumer in this process saw its output. All
 * by one machine's clock.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { EVENT_SCHEMA, loadSchema } from '@sallyport/core/codec'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { Publisher } from '@sallyport/core/kafka/publisher'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { tailTopics } from '@sallyport/core/kafka/tail'
import type { TopicReader } from '@sallyport/core/kafka/topic-reader'
import { createLog } from '@sallyport/core/log'
import { partitionOf } from '@sallyport/core/partition'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { type PublishTarget, publish } from '@sallyport/ingress/publish'
import { TRACEPARENT } from '../../support/events.ts'
import { rawKafka } from '../../support/raw-kafka.ts'
import { OUTPUT } from './names.ts'
import { newEvent, PARTITIONS, type Site } from './site.ts'

/** An accepted event; times in ms since the epoch. */
export interface Delivery {
  readonly partition: number
  readonly acceptedAt: number
  startedAt?: number
  visibleAt?: number
}

const AGENT_EVENT = loadSchema('agent-event.v1')
const PREFIX_BYTES = 5
const SETTLED_TIMEOUT_MS = 60_000
/** As the ingress has them. */
const PUBLISHER = { batchBytesMax: 1_000_000, batchRecordsMax: 1_000, lingerMs: 3, deadlineMs: 10_000 }

export class Flow {
  readonly deliveries = new Map<string, Delivery>()
  readonly #site: Site
  readonly #target: PublishTarget
  readonly #visible = new Map<string, { readonly startedAt: number; readonly visibleAt: number }>()
  readonly #pending: Promise<void>[] = []
  readonly #failures: unknown[] = []
  #tail: TopicReader | undefined
  #running = true
  #generated: Promise<void> | undefined

  private constructor(site: Site, schemaId: number) {
    this.#site = site
    const publisher = new Publisher(site, { ...PUBLISHER, topic: EVENTS_TOPIC }, createLog('bench'))
    this.#target = { publisher, schemaId, partitions: PARTITIONS }
  }

  static async start(site: Site, perSecond: number): Promise<Flow> {
    const schemaId = await createRegistry(site.registryUrl).register(`${EVENTS_TOPIC}-value`, EVENT_SCHEMA)
    const flow = new Flow(site, schemaId)
    flow.#tail = await tailTopics(rawKafka(site.brokers), [OUTPUT], record => flow.#see(record))
    flow.#generated = flow.#generate(perSecond)
    return flow
  }

  /** Sends no more, waits until every accepted event's output is visible, and gives the deliveries. */
  async stop(): Promise<readonly Delivery[]> {
    this.#running = false
    await this.#generated
    await Promise.all(this.#pending)
    if (this.#failures.length > 0) throw new Error('events could not be sent', { cause: this.#failures[0] })
    const deadline = performance.now() + SETTLED_TIMEOUT_MS
    while (this.#missing() > 0) {
      if (performance.now() > deadline) throw new Error(`${this.#missing()} outputs are missing`)
      await sleep(50)
    }
    await this.#tail?.stop()
    await this.#target.publisher.close()
    for (const [id, delivery] of this.deliveries) Object.assign(delivery, this.#visible.get(id))
    return [...this.deliveries.values()]
  }

  #missing(): number {
    return [...this.deliveries.keys()].filter(id => !this.#visible.has(id)).length
  }

  async #generate(perSecond: number): Promise<void> {
    const startedAt = performance.now()
    for (let sent = 0; this.#running; await sleep(1)) {
      const due = ((performance.now() - startedAt) / 1_000) * perSecond
      for (; sent < due; sent++)
        this.#pending.push(
          this.#send()
            .catch(error => this.#failures.push(error))
            .then(() => {}),
        )
    }
  }

  async #send(): Promise<void> {
    const event = newEvent()
    const partition = partitionOf(Buffer.from(event.id), PARTITIONS)
    this.deliveries.set(event.id, { partition, acceptedAt: Date.now() })
    await publish(this.#target, event, TRACEPARENT)
    this.#site.events++
  }

  #see({ key, value }: FetchedRecord): void {
    const visibleAt = Date.now()
    const { processedAt } = AGENT_EVENT.type.fromBuffer((value as Buffer).subarray(PREFIX_BYTES)) as {
      processedAt: number
    }
    this.#visible.set(String(key), { startedAt: processedAt, visibleAt })
  }
}
