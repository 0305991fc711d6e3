/**
 * Publishes to one topic at high rate: micro-batches per partition, idempotent, acks=all.
 *
 *     publish → lane of the partition → batch → request to the partition's leader → acknowledged
 *
 * What must hold:
 * - P1. A batch is for one partition, and a partition has one batch under way. A request may carry batches of several
 *   partitions that one broker leads; each is judged by its own error code.
 * - P2. A batch whose answer stays away, or that the broker could not take, is sent again as the very same bytes: it
 *   carries the same sequence numbers, so the broker recognises it if it was written before. It is never split,
 *   joined or reordered meanwhile.
 * - P3. A batch that is given up may have been written. The next one of its partition has a higher epoch, so that it
 *   is not taken for a repetition, and so that the old one, should it still be on its way, is refused.
 * - P4. A batch's bytes stay below the topic's max.message.bytes.
 * - P5. `publish` settles exactly once: resolved means acknowledged by all in-sync replicas; rejected means the
 *   record may or may not be there.
 * - P6. A partition in trouble holds up no other: it travels alone until it succeeds, and a broker's connection is
 *   its own.
 *
 * The library's `Producer` is not used, only its connections and protocol: it forces one request per broker at a
 * time for idempotent producers and at least one endless retry policy, and after a failed send it takes a new
 * producer id, with which sending the batch again writes it twice.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../connection.ts'
import { errorMessage, SallyportError } from '../errors.ts'
import type { Log } from '../log.ts'
import { Cluster, type ProducerIdentity } from './cluster.ts'
import { type Batch, Lane } from './lane.ts'
import { errorName, produce, verdictOf } from './produce.ts'
import { type BatchRecord, encodeRecord } from './record-batch.ts'

export interface PublishRecord extends BatchRecord {
  readonly partition: number
}

export interface PublisherSettings {
  readonly topic: string
  /** Kafka's max.message.bytes of the topic. */
  readonly batchBytesMax: number
  /** Most records in a batch. */
  readonly batchRecordsMax: number
  /**
   * While a request to a broker is under way, how long the next one to it waits to gather more, ms. It never waits
   * longer than for the answer to that request, and not at all where none is under way.
   */
  readonly lingerMs: number
  /** From `publish` to its rejection at the latest, ms. */
  readonly deadlineMs: number
}

/** How long a broker waits for the replicas before it says so; then the partition travels alone. */
const BROKER_TIMEOUT_MS = 1_000
/** No answer for this long: the broker hangs, its connection is closed. */
const REQUEST_TIMEOUT_MS = 2_500
/** Between two sends of one batch, and between two questions to the cluster. */
const RETRY_MS = 100
const SWEEP_MS = 100
const WARN_EVERY_MS = 5_000
const CLOSING_POLL_MS = 5
/** Batches for one broker are split over several requests beyond this; brokers take up to 100 MiB by default. */
const REQUEST_BYTES_MAX = 16 * 1_048_576
const NO_TROUBLE = 'no acknowledgement before the deadline'

/** What is under way to one broker. */
interface Traffic {
  requests: number
  lastSentAt: number
  timer: NodeJS.Timeout | undefined
}

interface Shipment {
  readonly lane: Lane
  readonly batch: Batch
}

export class Publisher {
  readonly #settings: PublisherSettings
  readonly #log: Log
  readonly #cluster: Cluster
  readonly #lanes: Lane[] = []
  readonly #traffic = new Map<number, Traffic>()
  #identity: ProducerIdentity | undefined
  #pumping = false
  #asking = false
  #sweep: NodeJS.Timeout | undefined
  #acknowledgedAt = 0
  #warnedAt = 0
  #trouble = 'no broker has answered yet'
  #closed = false

  constructor(connection: Connection, settings: PublisherSettings, log: Log) {
    this.#settings = settings
    this.#log = log
    this.#cluster = new Cluster(connection, 'sallyport-ingress', [settings.topic], REQUEST_TIMEOUT_MS)
  }

  /** Resolves when the record is acknowledged; rejects with `SP_NOT_PUBLISHED` (retryable) otherwise. */
  publish(record: PublishRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(notPublished('the ingress is closing'))
        return
      }
      const deadlineAt = Date.now() + this.#settings.deadlineMs
      const refuse = (why: string): void => reject(notPublished(why))
      this.#lane(record.partition).add({
        record: encodeRecord(record),
        deadlineAt,
        resolve,
        reject: refuse,
        settled: false,
      })
      this.#schedule()
    })
  }

  /** How many partitions the topic has, as far as is known; 0 before the cluster has answered. */
  get partitions(): number {
    return this.#cluster.partitionsOf(this.#settings.topic)
  }

  /** Whether the cluster answers, asked now; an acknowledgement that came meanwhile counts as well. */
  async answers(): Promise<boolean> {
    const askedAt = Date.now()
    try {
      await this.#cluster.refresh()
      return true
    } catch (error) {
      this.#trouble = errorMessage(error)
      return this.#acknowledgedAt >= askedAt
    }
  }

  /** Waits for what is under way (each has its deadline), then closes the connections. */
  async close(): Promise<void> {
    this.#closed = true
    while (this.#lanes.some(lane => lane !== undefined && !lane.empty)) {
      await sleep(CLOSING_POLL_MS)
    }
    clearInterval(this.#sweep)
    for (const { timer } of this.#traffic.values()) clearTimeout(timer)
    await this.#cluster.close().catch(() => {})
  }

  #lane(partition: number): Lane {
    let lane = this.#lanes[partition]
    if (lane === undefined) {
      lane = new Lane(partition, this.#settings)
      this.#lanes[partition] = lane
    }
    return lane
  }

  /** Ships what can be shipped at the end of this turn of the event loop. */
  #schedule(): void {
    this.#sweep ??= setInterval(() => this.#sweepLanes(), SWEEP_MS)
    if (this.#pumping) return
    this.#pumping = true
    setImmediate(() => {
      this.#pumping = false
      this.#pump()
    })
  }

  /** Rejects what is past its deadline, and tries again what waits for its time. */
  #sweepLanes(): void {
    const now = Date.now()
    let empty = true
    for (const lane of this.#lanes) {
      if (lane === undefined || lane.empty) continue
      lane.expire(now, this.#trouble)
      empty = empty && lane.empty
    }
    if (empty) {
      clearInterval(this.#sweep)
      this.#sweep = undefined
    } else {
      this.#schedule()
    }
  }

  #pump(): void {
    const now = Date.now()
    const ready = new Map<number, Lane[]>()
    for (const lane of this.#lanes) {
      if (lane === undefined || lane.empty || lane.sending || lane.notBefore > now) continue
      if (lane.needsIdentity) this.#identify(lane)
      const leader = this.#cluster.leaderOf(this.#settings.topic, lane.partition)
      if (leader === undefined) this.#askCluster()
      else if (!lane.needsIdentity) {
        const lanes = ready.get(leader)
        if (lanes === undefined) ready.set(leader, [lane])
        else lanes.push(lane)
      }
    }
    for (const [leader, lanes] of ready) this.#shipTo(leader, lanes, now)
  }

  #identify(lane: Lane): void {
    if (this.#identity !== undefined && !lane.identify(this.#identity)) this.#identity = undefined
    if (this.#identity === undefined) this.#askCluster()
  }

  /** Sends what is ready for one broker, unless a request that has just left can be waited for. */
  #shipTo(leader: number, lanes: readonly Lane[], now: number): void {
    const traffic = this.#trafficOf(leader)
    const wait = traffic.requests === 0 ? 0 : traffic.lastSentAt + this.#settings.lingerMs - now
    if (wait > 0) {
      traffic.timer ??= setTimeout(() => {
        traffic.timer = undefined
        this.#pump()
      }, wait)
      return
    }
    const together: Shipment[] = []
    for (const lane of lanes) {
      const batch = lane.nextBatch(now)
      if (batch === undefined) continue
      lane.sent(batch)
      if (lane.alone) void this.#send(leader, [{ lane, batch }])
      else together.push({ lane, batch })
    }
    for (const shipments of requestsOf(together)) void this.#send(leader, shipments)
  }

  async #send(leader: number, shipments: readonly Shipment[]): Promise<void> {
    const traffic = this.#trafficOf(leader)
    traffic.requests++
    traffic.lastSentAt = Date.now()
    try {
      const connection = await this.#cluster.connectionTo(leader)
      const batches = shipments.map(({ lane, batch }) => ({ partition: lane.partition, bytes: batch.bytes }))
      const codes = await produce(connection, this.#settings.topic, batches, BROKER_TIMEOUT_MS)
      for (const shipment of shipments) this.#judge(shipment, codes.get(shipment.lane.partition))
    } catch (error) {
      this.#noteTrouble(errorMessage(error))
      this.#askCluster()
      for (const { lane, batch } of shipments) if (lane.awaits(batch)) this.#sendAgainSoon(lane)
    } finally {
      traffic.requests--
      this.#schedule()
    }
  }

  #judge({ lane, batch }: Shipment, code: number | undefined): void {
    if (!lane.awaits(batch)) return
    const verdict = code === undefined ? 'again' : verdictOf(code)
    if (verdict === 'written') {
      this.#acknowledgedAt = Date.now()
      this.#trouble = NO_TROUBLE
      lane.written(batch)
      return
    }
    const why = `partition ${lane.partition}: ${code === undefined ? 'no answer' : errorName(code)}`
    this.#noteTrouble(why)
    if (verdict === 'refused') {
      lane.refused(why)
    } else if (verdict === 'renumber') {
      lane.renumber(batch, Date.now(), why)
    } else {
      // The leader may have moved: ask who it is.
      this.#askCluster()
      this.#sendAgainSoon(lane)
    }
  }

  /** Asks for leaders and, where it is lacking, a producer id; at most once at a time and every `RETRY_MS`. */
  #askCluster(): void {
    if (this.#asking) return
    this.#asking = true
    void (async () => {
      try {
        await this.#cluster.refresh()
        this.#identity ??= await this.#cluster.newIdentity()
        this.#pump()
      } catch (error) {
        this.#noteTrouble(errorMessage(error))
      }
      await sleep(RETRY_MS)
      this.#asking = false
    })()
  }

  #sendAgainSoon(lane: Lane): void {
    lane.again(Date.now() + RETRY_MS)
    setTimeout(() => this.#schedule(), RETRY_MS)
  }

  #trafficOf(broker: number): Traffic {
    let traffic = this.#traffic.get(broker)
    if (traffic === undefined) {
      traffic = { requests: 0, lastSentAt: 0, timer: undefined }
      this.#traffic.set(broker, traffic)
    }
    return traffic
  }

  #noteTrouble(why: string): void {
    this.#trouble = why
    const now = Date.now()
    if (now - this.#warnedAt < WARN_EVERY_MS) return
    this.#warnedAt = now
    this.#log.warn({ why }, 'publishing is held up; it is tried again')
  }
}

/** Shipments for one broker as requests of a bounded size. */
function requestsOf(shipments: readonly Shipment[]): Shipment[][] {
  const requests: Shipment[][] = []
  let bytes = REQUEST_BYTES_MAX
  for (const shipment of shipments) {
    if (bytes + shipment.batch.bytes.length > REQUEST_BYTES_MAX) {
      requests.push([])
      bytes = 0
    }
    bytes += shipment.batch.bytes.length
    requests.at(-1)?.push(shipment)
  }
  return requests
}

function notPublished(why: string): SallyportError {
  return new SallyportError(
    'SP_NOT_PUBLISHED',
    `Kafka did not acknowledge the record in time (${why}); it may arrive all the same, and then counts once`,
    { retryable: true },
  )
}
