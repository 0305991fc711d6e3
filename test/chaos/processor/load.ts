/**
 * The load: events with ids of their own at a steady rate, a fifth of them again (in the same tick or up to half a
 * minute later). An event counts as accepted once Kafka acknowledged it, as the ingress would have it; what is not
 * acknowledged is sent again until it is, so the topic may hold it more often.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { EVENT_SCHEMA, encodeWire } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { eventHeaders } from '@sallyport/core/headers'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { partitionOf } from '@sallyport/core/partition'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import kafkajs from 'kafkajs'
import { eventOf } from '../../support/events.ts'
import { NAME } from './agent.ts'
import { type Fate, fateOf } from './fate.ts'
import { Random } from './random.ts'

export const PARTITIONS = 6
const TICK_MS = 200
const DUPLICATES = 0.2
/** Ticks until a duplicate arrives, at most. */
const DUPLICATE_TICKS_MAX = 150

export interface Accepted {
  readonly fate: Fate
  /** When it was acknowledged, ms since the epoch. */
  readonly at: number
  /** Whether it dies first, and a redrive brings its end. */
  readonly isRedriven: boolean
}

/** How events are written. */
export interface Encoding {
  readonly schemaId: number
  readonly type: typeof EVENT_SCHEMA.type
  /** Fields that the schema has beyond those of an event. */
  readonly more: Readonly<Record<string, unknown>>
}

/** An event, and what becomes of it. */
export interface Sent {
  readonly event: Event
  readonly fate: Fate
}

export class Load {
  readonly accepted = new Map<string, Accepted>()
  /** How many of them belong to each partition. */
  readonly acceptedOn: number[] = new Array(PARTITIONS).fill(0)
  /** Duplicates sent. */
  duplicates = 0
  readonly #producer: kafkajs.Producer
  readonly #registryUrl: string
  readonly #seed: number
  readonly #perSecond: number
  readonly #later = new Map<number, Sent[]>()
  readonly #queues: Sent[][] = Array.from({ length: PARTITIONS }, () => [])
  readonly #senders: Promise<void>[] = []
  #running = true
  #encoding: Encoding = { schemaId: 0, type: EVENT_SCHEMA.type, more: {} }

  constructor(
    connection: { readonly brokers: readonly string[]; readonly registryUrl: string },
    seed: number,
    perSecond: number,
  ) {
    this.#registryUrl = connection.registryUrl
    this.#seed = seed
    this.#perSecond = perSecond
    const kafka = new kafkajs.Kafka({
      brokers: [...connection.brokers],
      logLevel: kafkajs.logLevel.NOTHING,
      connectionTimeout: 2_000,
      requestTimeout: 10_000,
      retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 20 },
    })
    const createPartitioner: kafkajs.ICustomPartitioner =
      () =>
      ({ message }) =>
        message.partition as number
    this.#producer = kafka.producer({ allowAutoTopicCreation: false, createPartitioner })
  }

  async start(): Promise<void> {
    const subject = `${EVENTS_TOPIC}-value`
    const schemaId = await createRegistry(this.#registryUrl).register(subject, EVENT_SCHEMA)
    this.encodeAs({ schemaId, type: EVENT_SCHEMA.type, more: {} })
    await this.#producer.connect()
    void this.#generate()
    for (let partition = 0; partition < PARTITIONS; partition++) this.#senders.push(this.#send(partition))
  }

  /** Generates no more, and waits until all that was generated is accepted. */
  async stop(): Promise<void> {
    this.#running = false
    await Promise.all(this.#senders)
    await this.#producer.disconnect()
  }

  /** What an event looks like in Kafka; the schema must have been registered. */
  encode(event: Event): kafkajs.Message & { partition: number } {
    const key = Buffer.from(event.id)
    const { schemaId, type, more } = this.#encoding
    const value = encodeWire(schemaId, type, { ...event, ...more })
    return { partition: partitionOf(key, PARTITIONS), key, value }
  }

  /** From now on events are written so. */
  encodeAs(encoding: Encoding): void {
    this.#encoding = encoding
  }

  /**
   * Sends events that are to be redriven beside the load: to their own partitions, or so many further, until all are
   * acknowledged.
   */
  async place(sent: readonly Sent[], further: number): Promise<void> {
    const messages = sent.map(({ event }) => {
      const message = this.encode(event)
      const headers = eventHeaders(event, undefined)
      return { ...message, headers, partition: (message.partition + further) % PARTITIONS }
    })
    for (;;) {
      try {
        await this.#producer.send({ topic: EVENTS_TOPIC, messages, acks: -1 })
        break
      } catch {
        await sleep(TICK_MS)
      }
    }
    for (const one of sent) this.#accept(one, Date.now(), true)
  }

  #accept({ event, fate }: Sent, at: number, isRedriven: boolean): void {
    if (this.accepted.has(event.id)) return
    const partition = partitionOf(Buffer.from(event.id), PARTITIONS)
    this.accepted.set(event.id, { fate, at, isRedriven })
    this.acceptedOn[partition] = (this.acceptedOn[partition] as number) + 1
  }

  async #generate(): Promise<void> {
    const random = Random.of(this.#seed, 'load')
    const perTick = (this.#perSecond * TICK_MS) / 1_000
    const startedAt = performance.now()
    let n = 0
    for (let tick = 0; this.#running; tick++) {
      while (n < (tick + 1) * perTick) {
        const fate = fateOf(n, random)
        const sent = { event: eventOf(NAME, fate, `${this.#seed}-${n}`), fate }
        n++
        this.#queue(sent)
        if (random.next() >= DUPLICATES) continue
        const due = tick + (random.next() < 0.5 ? 0 : random.between(1, DUPLICATE_TICKS_MAX))
        this.#later.set(due, [...(this.#later.get(due) ?? []), sent])
      }
      for (const sent of this.#later.get(tick) ?? []) {
        this.duplicates++
        this.#queue(sent)
      }
      this.#later.delete(tick)
      await sleep(Math.max(1, startedAt + (tick + 1) * TICK_MS - performance.now()))
    }
  }

  #queue(sent: Sent): void {
    this.#queues[partitionOf(Buffer.from(sent.event.id), PARTITIONS)]?.push(sent)
  }

  /** One partition per request: a broker that dies holds up its own partitions alone. */
  async #send(partition: number): Promise<void> {
    const queue = this.#queues[partition] as Sent[]
    while (this.#running || queue.length > 0) {
      const batch = queue.slice(0, 500)
      if (batch.length === 0) {
        await sleep(TICK_MS / 4)
        continue
      }
      try {
        const messages = batch.map(({ event }) => this.encode(event))
        await this.#producer.send({ topic: EVENTS_TOPIC, messages, acks: -1 })
      } catch {
        await sleep(TICK_MS)
        continue
      }
      queue.splice(0, batch.length)
      const at = Date.now()
      for (const one of batch) this.#accept(one, at, false)
    }
  }
}

/** Whether a record lies where its key does not belong; such a one is no effect, and needs no claim. */
export function isStray({ key, partition }: { readonly key: string; readonly partition: number }): boolean {
  return partitionOf(Buffer.from(key), PARTITIONS) !== partition
}
