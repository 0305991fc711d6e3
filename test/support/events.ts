/** Puts events on the topic as an ingress would, and reads topics with a consumer outside the product's code. */
import { randomUUID } from 'node:crypto'
import { EVENT_SCHEMA, encodeEvent } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'
import { eventHeaders, type ReadHeaders } from '@sallyport/core/headers'
import { append } from '@sallyport/core/kafka/append'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import { partitionOf } from '@sallyport/core/partition'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import avro from 'avsc'
import kafkajs from 'kafkajs'

export const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

/** An event of a source, its body JSON. */
export function eventOf(source: string, body: unknown, id: string = randomUUID()): Event {
  return {
    id: `${source}/${id}`,
    source,
    type: 'test',
    identity: 'SENDER_ID',
    windowMs: null,
    senderId: id,
    scheme: 'custom',
    secretIndex: 0,
    receivedAt: Date.now(),
    sentAt: null,
    contentType: 'application/json',
    method: null,
    query: null,
    headers: {},
    body: Buffer.from(JSON.stringify(body)),
  }
}

/** An event of a source that belongs to a partition. */
export function eventOn(partition: number, partitions: number, source: string, body: unknown): Event {
  while (true) {
    const event = eventOf(source, body)
    if (partitionOf(Buffer.from(event.id), partitions) === partition) return event
  }
}

/** How long records are waited for: on a busy machine a processor takes tens of seconds to start. */
const READ_TIMEOUT_MS = 60_000

/** What the keys of records begin with that only mark an end. */
const FENCE = '#fence-'

/** A record as a raw consumer sees it. */
export interface RawRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, string>>
}

/** What a foreign producer might write. */
export interface RawMessage {
  readonly partition: number
  readonly key?: Buffer | string | null
  readonly value: Buffer | string | null
  readonly headers?: ReadHeaders
}

export class Topics {
  readonly #kafka: kafkajs.Kafka
  readonly #registryUrl: string
  readonly #producers: ProducerCluster
  readonly #types = new Map<number, Promise<avro.Type>>()
  readonly #partitions: number
  #schemaId: Promise<number> | undefined

  constructor(connection: { brokers: readonly string[]; registryUrl: string }, partitions: number) {
    this.#kafka = new kafkajs.Kafka({ brokers: [...connection.brokers], logLevel: kafkajs.logLevel.NOTHING })
    this.#registryUrl = connection.registryUrl
    this.#producers = new ProducerCluster(connection, 'test')
    this.#partitions = partitions
  }

  async close(): Promise<void> {
    await this.#producers.close()
  }

  /** Appends events to the main topic, or to another one with headers of its own. */
  async append(
    events: readonly Event[],
    topic = EVENTS_TOPIC,
    headers: Record<string, string | null | (string | null)[]> = {},
  ): Promise<void> {
    this.#schemaId ??= createRegistry(this.#registryUrl).register(`${EVENTS_TOPIC}-value`, EVENT_SCHEMA)
    const schemaId = await this.#schemaId
    await this.appendRaw(
      topic,
      events.map(event => {
        const key = Buffer.from(event.id)
        const value = encodeEvent(schemaId, event)
        return {
          partition: partitionOf(key, this.#partitions),
          key,
          value,
          headers: { ...eventHeaders(event, TRACEPARENT), ...headers },
        }
      }),
    )
  }

  /** Appends whatever a foreign producer might. */
  async appendRaw(topic: string, messages: readonly RawMessage[]): Promise<void> {
    for (const [partition, batch] of Map.groupBy(messages, message => message.partition)) {
      const records = batch.map(({ key = null, value, headers = {} }) => ({
        key: bytesOf(key),
        value: bytesOf(value),
        headers,
      }))
      await append(this.#producers, { topic, partition, records })
    }
  }

  /**
   * Reads a topic's committed records from its start until `enough` of what `wanted` picks are there. Throws when they are
   * not there in time.
   */
  async read(
    topic: string,
    wanted: (record: RawRecord) => boolean,
    enough: number,
    timeoutMs = READ_TIMEOUT_MS,
  ): Promise<RawRecord[]> {
    const found: RawRecord[] = []
    const inTime = await this.#readUntil(topic, timeoutMs, record => {
      if (!isFence(record) && wanted(record)) found.push(record)
      return found.length >= enough
    })
    if (inTime) return found
    throw new Error(`${topic} had ${found.length} of ${enough} wanted records after ${timeoutMs} ms`)
  }

  /**
   * All committed records of an output, dead-letter or claims topic that `wanted` picks. It appends a fence to every
   * partition and reads up to it, because an end offset may lie behind markers that are no records.
   */
  async readAll(topic: string, wanted: (record: RawRecord) => boolean = () => true): Promise<RawRecord[]> {
    const fence = `${FENCE}${randomUUID()}`
    const messages = Array.from({ length: this.#partitions }, (_, partition) => ({
      partition,
      key: fence,
      value: null,
    }))
    await this.appendRaw(topic, messages)
    const found: RawRecord[] = []
    const fenced = new Set<number>()
    const inTime = await this.#readUntil(topic, READ_TIMEOUT_MS, record => {
      if (record.key === fence) fenced.add(record.partition)
      else if (!isFence(record) && wanted(record)) found.push(record)
      return fenced.size === this.#partitions
    })
    if (!inTime) throw new Error(`${topic} was not read to its end in ${READ_TIMEOUT_MS} ms`)
    return found
  }

  /**
   * True when the last record came within the time. Nothing is committed, so a consumer that had to join its group again,
   * as after a broker's freeze, begins anew: what it brings again is passed over.
   */
  async #readUntil(
    topic: string,
    timeoutMs: number,
    isLast: (record: RawRecord) => boolean,
  ): Promise<boolean> {
    const consumer = this.#kafka.consumer({ groupId: `test-${randomUUID()}`, maxWaitTimeInMs: 50 })
    const done = Promise.withResolvers<void>()
    const timer = setTimeout(() => done.resolve(), timeoutMs)
    let ended = false
    const nextOffsets = new Map<number, number>()
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        for (const message of batch.messages) {
          const offset = Number(message.offset)
          if (offset < (nextOffsets.get(batch.partition) ?? 0)) continue
          nextOffsets.set(batch.partition, offset + 1)
          if (ended || !isLast(rawRecord(batch.topic, batch.partition, message))) continue
          ended = true
          done.resolve()
        }
      },
    })
    await done.promise
    clearTimeout(timer)
    await consumer.disconnect()
    return ended
  }

  /** A value in wire format, decoded with the schema that the registry's HTTP API gives. */
  async decode(value: Buffer): Promise<Record<string, unknown>> {
    if (value[0] !== 0) throw new Error('no magic byte')
    const id = value.readInt32BE(1)
    let type = this.#types.get(id)
    if (type === undefined) {
      type = fetch(`${this.#registryUrl}/schemas/ids/${id}`)
        .then(response => response.json() as Promise<{ schema: string }>)
        .then(({ schema }) => avro.Type.forSchema(JSON.parse(schema)))
      this.#types.set(id, type)
    }
    return (await type).fromBuffer(value.subarray(5)) as Record<string, unknown>
  }
}

function isFence({ key }: RawRecord): boolean {
  return key?.startsWith(FENCE) === true
}

function rawRecord(topic: string, partition: number, message: kafkajs.KafkaMessage): RawRecord {
  const headers = Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)] as const)
  return {
    topic,
    partition,
    offset: Number(message.offset),
    timestamp: Number(message.timestamp),
    key: message.key === null ? null : String(message.key),
    value: message.value,
    headers: Object.fromEntries(headers),
  }
}

function bytesOf(given: Buffer | string | null): Buffer | null {
  return typeof given === 'string' ? Buffer.from(given) : given
}
