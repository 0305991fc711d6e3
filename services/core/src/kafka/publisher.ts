/**
 * Publishes to one topic at high rate: micro-batches per partition, idempotent, acks=all.
 *
 * What must hold:
 * P1. A batch is for one partition, and a partition has one batch under way: @platformatic/kafka counts a
 *     partition's sequence numbers only when the answer is there.
 * P2. A batch whose answer stays away is sent again by the same producer: it carries the same sequence numbers,
 *     so the broker recognises it if it was written before. It is never split, joined or reordered meanwhile.
 * P3. After the last failed send its producer is retired. The failed batch may have been written; its sequence numbers
 *     were not counted, so the next batch would carry them again and the broker would take it for a repetition
 *     and drop it, acknowledged. A new producer has a new producer id.
 * P4. A batch's bytes stay below the topic's max.message.bytes.
 * P5. `publish` settles exactly once: resolved means acknowledged by all in-sync replicas; rejected means the
 *     record may or may not be there.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { GenericError, ProduceAcks, Producer } from '@platformatic/kafka'
import type { Connection } from '../connection.ts'
import { errorMessage, SallyportError } from '../errors.ts'
import type { RecordHeaders } from '../headers.ts'
import type { Log } from '../log.ts'

export interface PublishRecord {
  readonly partition: number
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: RecordHeaders
}

export interface PublisherSettings {
  readonly topic: string
  /** Kafka's max.message.bytes of the topic. */
  readonly batchBytesMax: number
  /** Most records in a batch. */
  readonly batchRecordsMax: number
  /** How long the first record of a batch waits for others, ms; 0 sends at the end of the event-loop turn. */
  readonly lingerMs: number
  /** From `publish` to its rejection at the latest, ms. */
  readonly deadlineMs: number
}

interface Waiting {
  readonly record: PublishRecord
  readonly bytes: number
  readonly deadlineAt: number
  readonly resolve: () => void
  readonly reject: (error: SallyportError) => void
}

/** A producer and how many sends it has under way; retired ones close when that is none. */
interface Generation {
  readonly producer: Producer<Buffer, Buffer, string, string>
  sends: number
  retired: boolean
}

const RETRY_DELAY_MS = 100
const CONNECT_TIMEOUT_MS = 2_000
/** A broker that takes longer than this to answer is asked again: it may hang. */
const REQUEST_TIMEOUT_MS = 3_000
/** What a record costs in a batch beyond its own bytes. */
const RECORD_OVERHEAD_BYTES = 128
const BATCH_OVERHEAD_BYTES = 512

export class Publisher {
  readonly #connection: Connection
  readonly #settings: PublisherSettings
  readonly #log: Log
  readonly #lanes: Lane[] = []
  #generation: Generation | undefined
  #closed = false

  constructor(connection: Connection, settings: PublisherSettings, log: Log) {
    this.#connection = connection
    this.#settings = settings
    this.#log = log
  }

  /** Resolves when the record is acknowledged; rejects with `SP_NOT_PUBLISHED` (retryable) otherwise. */
  publish(record: PublishRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(notPublished(new Error('the ingress is closing')))
        return
      }
      const bytes =
        record.value.length + record.key.length + headerBytes(record.headers) + RECORD_OVERHEAD_BYTES
      const deadlineAt = Date.now() + this.#settings.deadlineMs
      this.#lane(record.partition).add({ record, bytes, deadlineAt, resolve, reject })
    })
  }

  /** Whether a broker answers and knows the topic, asked now. */
  async answers(): Promise<boolean> {
    const { producer } = this.#current()
    try {
      const asked = producer.metadata({ topics: [this.#settings.topic], forceUpdate: true, retries: 0 })
      await withDeadline(asked, Date.now() + REQUEST_TIMEOUT_MS)
      return true
    } catch {
      return false
    }
  }

  /** Waits for what is under way (each has its deadline), then closes the connections. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#lanes.map(lane => lane?.idle()))
    const generation = this.#generation
    this.#generation = undefined
    if (generation !== undefined) await generation.producer.close().catch(() => {})
  }

  #lane(partition: number): Lane {
    let lane = this.#lanes[partition]
    if (lane === undefined) {
      lane = new Lane(this.#settings, (batch, deadlineAt) => this.#send(batch, deadlineAt))
      this.#lanes[partition] = lane
    }
    return lane
  }

  async #send(batch: readonly PublishRecord[], deadlineAt: number): Promise<void> {
    const generation = this.#current()
    generation.sends++
    try {
      await this.#sendUntil(generation.producer, batch, deadlineAt)
    } catch (error) {
      if (!generation.retired) this.#log.warn({ error: errorMessage(error) }, 'a batch was not acknowledged')
      this.#retire(generation)
      throw notPublished(error)
    } finally {
      generation.sends--
      if (generation.retired && generation.sends === 0) void generation.producer.close(true).catch(() => {})
    }
  }

  /** Sends one batch until it is acknowledged, refused for good, or its deadline has passed (P2). */
  async #sendUntil(
    producer: Generation['producer'],
    batch: readonly PublishRecord[],
    deadlineAt: number,
  ): Promise<void> {
    const messages = batch.map(record => ({ topic: this.#settings.topic, ...record }))
    for (;;) {
      try {
        await withDeadline(producer.send({ messages, acks: ProduceAcks.ALL }), deadlineAt)
        return
      } catch (error) {
        if (!canRetry(error) || Date.now() + RETRY_DELAY_MS >= deadlineAt) throw error
        // The leader may have moved: ask again who it is.
        producer.clearMetadata()
        await sleep(RETRY_DELAY_MS)
      }
    }
  }

  #current(): Generation {
    if (this.#generation === undefined) {
      const producer = new Producer<Buffer, Buffer, string, string>({
        clientId: 'sallyport-ingress',
        bootstrapBrokers: [...this.#connection.brokers],
        idempotent: true,
        autocreateTopics: false,
        serializers: {
          key: key => key,
          value: value => value,
          headerKey: name => Buffer.from(name as string),
          headerValue: value => Buffer.from(value as string),
        },
        // `#sendUntil` retries; the library's own retries would ask the same dead leader again.
        retries: 0,
        connectTimeout: CONNECT_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        timeout: REQUEST_TIMEOUT_MS,
        metadataMaxAge: 60_000,
        maxInflights: 32,
      })
      this.#generation = { producer, sends: 0, retired: false }
    }
    return this.#generation
  }

  #retire(generation: Generation): void {
    generation.retired = true
    if (this.#generation === generation) this.#generation = undefined
  }
}

/** The records that wait for one partition: one batch under way, the next one filling. */
class Lane {
  readonly #settings: PublisherSettings
  readonly #send: (batch: readonly PublishRecord[], deadlineAt: number) => Promise<void>
  #waiting: Waiting[] = []
  #scheduled = false
  #sending: Promise<void> | undefined

  constructor(
    settings: PublisherSettings,
    send: (batch: readonly PublishRecord[], deadlineAt: number) => Promise<void>,
  ) {
    this.#settings = settings
    this.#send = send
  }

  add(waiting: Waiting): void {
    this.#waiting.push(waiting)
    this.#schedule()
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#waiting.length > 0 || this.#sending !== undefined) {
      await (this.#sending ?? new Promise(resolve => setImmediate(resolve)))
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#sending !== undefined) return
    this.#scheduled = true
    const flush = (): void => {
      this.#scheduled = false
      this.#flush()
    }
    if (this.#settings.lingerMs > 0 && this.#waiting.length < this.#settings.batchRecordsMax) {
      setTimeout(flush, this.#settings.lingerMs)
    } else {
      setImmediate(flush)
    }
  }

  #flush(): void {
    const batch = this.#take()
    const [first] = batch
    if (first === undefined) return
    this.#sending = this.#send(
      batch.map(waiting => waiting.record),
      first.deadlineAt,
    ).then(
      () => {
        for (const waiting of batch) waiting.resolve()
      },
      (error: SallyportError) => {
        for (const waiting of batch) waiting.reject(error)
      },
    )
    void this.#sending.then(() => {
      this.#sending = undefined
      if (this.#waiting.length > 0) this.#schedule()
    })
  }

  /** The next batch, within its bounds; what has waited past its deadline is rejected. */
  #take(): Waiting[] {
    const now = Date.now()
    const batch: Waiting[] = []
    let bytes = BATCH_OVERHEAD_BYTES
    let taken = 0
    for (const waiting of this.#waiting) {
      if (batch.length >= this.#settings.batchRecordsMax) break
      if (waiting.deadlineAt <= now) {
        waiting.reject(notPublished(new Error('the partition had no free moment before the deadline')))
        taken++
        continue
      }
      if (batch.length > 0 && bytes + waiting.bytes > this.#settings.batchBytesMax) break
      bytes += waiting.bytes
      batch.push(waiting)
      taken++
    }
    this.#waiting = this.#waiting.slice(taken)
    return batch
  }
}

/** Whether the same batch may be sent again: the library marks what is final. */
function canRetry(error: unknown): boolean {
  return GenericError.isGenericError(error as Error) && !(error as GenericError).findBy('canRetry', false)
}

function headerBytes(headers: RecordHeaders): number {
  let bytes = 0
  for (const name in headers) bytes += name.length + (headers[name] as string).length * 3 + 8
  return bytes
}

async function withDeadline<T>(work: Promise<T>, deadlineAt: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error('no acknowledgement before the deadline')),
      Math.max(0, deadlineAt - Date.now()),
    )
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

function notPublished(cause: unknown): SallyportError {
  return new SallyportError(
    'SP_NOT_PUBLISHED',
    `Kafka did not acknowledge the record in time (${errorMessage(cause)}); it may arrive all the same, and then counts once`,
    { cause, retryable: true },
  )
}
