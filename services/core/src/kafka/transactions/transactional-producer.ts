/**
 * A producer of transactions, one after the other, on Kafka's own protocol.
 *
 * Every transaction has a producer epoch of its own. A request or a marker that arrives late, from a transaction before,
 * carries a lower epoch and is refused: it can neither end the present transaction nor become part of it.
 *
 * - Transaction version 2 (KIP-890): EndTxn answers with the epoch of the next transaction. Leaders add their partitions
 *   to the transaction as they are written.
 * - Transaction version 1, where the cluster has not finalised version 2: InitProducerId with the producer's own id and
 *   epoch asks for the next epoch before each transaction (KIP-360). All partitions are added before the first record.
 *
 * | state | on | becomes |
 * |---|---|---|
 * | (none) | `open` | `ready` |
 * | `ready` | `begin` | `open` |
 * | `open` | `join`, `write`, `commitOffsets` | `open` |
 * | `open` | `commit`, answered | `ready` |
 * | any | a verdict that ends it, or its deadline | `over` |
 * | any | `close` | `over` |
 *
 * What must hold:
 * P7. Only one transaction at a time, and each begins with an epoch in which nothing was ever written.
 * P8. A batch is sent again as the very same bytes, with the same sequence number. A partition has one batch under way,
 *     and its sequence numbers start at 0 in each epoch.
 * P9. A transaction is committed only after every batch and every offset in it was acknowledged.
 * P10. An end that is not answered is asked for again, by the same epoch, until the deadline: no other transaction can have
 *     it, so the coordinator either carries it out now or says that it did. To give up instead would be worse than to
 *     wait. A coordinator that is killed with the commit in its own log alone, and comes back before its successor is
 *     elected, may send markers of that commit; a new owner's abort would then tear the transaction, the same commit
 *     asked for again makes both say the same. For that reason no abort is asked for once a commit was.
 * P11. Whoever opens a producer of the same transactional id ends this one: the broker resolves its transaction and refuses
 *     whatever else it sends.
 * P12. A partition in trouble holds up no other transaction; this one waits for it until its deadline.
 * P13. Nothing is written where an earlier transaction of the id is still open: that is ended first, as the coordinator
 *     had decided (left-open.ts).
 *
 * Epochs run out after 32,766: then the coordinator gives a new producer id, with epoch 0.
 */
import type { Broker } from '@platformatic/kafka'
import type { BrokerClock } from '../../clock.ts'
import { errorMessage } from '../../errors.ts'
import type { ProducerIdentity } from '../cluster.ts'
import type { InputPosition, PartitionWrites } from '../produce-record.ts'
import { describeTransaction } from './describe.ts'
import type { End } from './fate.ts'
import { LeftOpen } from './left-open.ts'
import { PartitionBatches } from './partition-batches.ts'
import { persist } from './persist.ts'
import { type ProducerCluster, UnansweredError } from './producer-cluster.ts'
import type { Request } from './request.ts'
import {
  type Answer,
  addOffsetsToTxn,
  addPartitionsToTxn,
  type BatchPlace,
  endTxn,
  initProducerId,
  NO_IDENTITY,
  nameOf,
  type TransactionVersion,
  txnOffsetCommit,
  type Writing,
} from './requests.ts'
import { TransactionError, verdictOf } from './verdict.ts'
import { type BatchWriter, writeBatches } from './write-batches.ts'

export interface ProducerSettings {
  /** The coordinator aborts a transaction that is open for longer, ms; Kafka's `transaction.timeout.ms`. */
  readonly transactionTimeoutMs: number
  /** Learns the brokers' time from what they answer. */
  readonly clock: BrokerClock
  /** Where earlier producers of this id may have written: what they left open there is ended (P13). Default none. */
  readonly written?: readonly BatchPlace[]
  /** Hears of each end of what was left open, by `topic/partition`. */
  readonly endedLate?: (places: readonly string[], end: End) => void
}

/** How long `open` waits for the coordinator: longer than a broker's failover takes. */
const OPEN_DEADLINE_MS = 20_000
/** How long the end of a transaction is asked for at least, ms: longer than a coordinator's failover takes (P10). */
const END_MS_MIN = 15_000

type State = 'ready' | 'open' | 'over'
type Coordinated = 'transaction' | 'group'

export class TransactionalProducer {
  readonly #cluster: ProducerCluster
  readonly #transactionalId: string
  readonly #transactionTimeoutMs: number
  readonly #version: TransactionVersion
  readonly #writer: BatchWriter
  readonly #coordinators = new Map<Coordinated, Broker>()
  #identity: ProducerIdentity = NO_IDENTITY
  /** A transaction had this epoch: version 1 needs another one. */
  #isEpochUsed = false
  #state: State = 'ready'
  #deadlineAt = 0
  /** Records written in this epoch, by partition. */
  #sequences = new Map<string, number>()
  #abandoning: Promise<unknown> | undefined
  readonly #endedLate: ProducerSettings['endedLate']
  /** Undefined where there can be nothing. */
  #leftOpen: LeftOpen | undefined

  private constructor(
    cluster: ProducerCluster,
    transactionalId: string,
    { transactionTimeoutMs, clock, endedLate }: ProducerSettings,
    version: TransactionVersion,
  ) {
    this.#endedLate = endedLate
    this.#cluster = cluster
    this.#transactionalId = transactionalId
    this.#transactionTimeoutMs = transactionTimeoutMs
    this.#version = version
    this.#writer = { cluster, version, transactionalId, clock }
  }

  /**
   * Acquires a transactional id (P11). What its last producer had under way is resolved when this resolves. Throws
   * `TransactionError`.
   */
  static async open(
    cluster: ProducerCluster,
    transactionalId: string,
    settings: ProducerSettings,
  ): Promise<TransactionalProducer> {
    const deadlineAt = performance.now() + OPEN_DEADLINE_MS
    const { written = [] } = settings
    const { version, describes } = await persist('ApiVersions', deadlineAt, async () => ({
      code: 0,
      ...(await cluster.abilities()),
    }))
    const producer = new TransactionalProducer(cluster, transactionalId, settings, version)
    if (describes && written.length > 0) await producer.#lookBack(deadlineAt)
    await producer.#acquire(deadlineAt)
    await producer.#endLeftOpen(written, deadlineAt)
    return producer
  }

  /** The protocol in use. */
  get version(): TransactionVersion {
    return this.#version
  }

  /** What it was opened with. */
  get transactionalId(): string {
    return this.#transactionalId
  }

  /** Producer id and epoch of the present transaction, or of the last one. */
  get identity(): ProducerIdentity {
    return this.#identity
  }

  /**
   * Begins a transaction that will write to these partitions and, where a group is named, commit its offsets. Its
   * deadline is the transaction's time-out from now. Throws `TransactionError`; then the producer is over.
   */
  async begin(places: readonly BatchPlace[], groupId?: string): Promise<void> {
    this.#expect('ready')
    const deadlineAt = performance.now() + this.#transactionTimeoutMs
    this.#deadlineAt = deadlineAt
    this.#sequences = new Map()
    await this.#orOver(async () => {
      await this.#see(places, deadlineAt)
      if (this.#version === 1 && this.#isEpochUsed) await this.#acquire(deadlineAt)
      this.#state = 'open'
      this.#isEpochUsed = true
      if (this.#version === 2) return
      await this.#coordinate(addPartitionsToTxn(this.#writing, places), deadlineAt)
      if (groupId !== undefined) await this.#coordinate(addOffsetsToTxn(this.#writing, groupId), deadlineAt)
    })
  }

  /**
   * Adds partitions to the transaction that is open: version 1 wants that before they are written. Throws
   * `TransactionError`; then the producer is over.
   */
  async join(places: readonly BatchPlace[]): Promise<void> {
    this.#expect('open')
    await this.#orOver(async () => {
      const [unseen] = this.#leftOpen?.unseenOf(places) ?? []
      // What may be open there cannot be ended within a transaction; the next one looks.
      if (unseen !== undefined)
        throw new TransactionError('failed', `${nameOf(unseen)} had no leader that answered`)
      if (this.#version === 1)
        await this.#coordinate(addPartitionsToTxn(this.#writing, places), this.#deadlineAt)
    })
  }

  /**
   * Writes records: those of different partitions at once, those of one in their order. Returns one past the offset of
   * each partition's last record, where the broker said it. Throws `TransactionError`; then the producer is over.
   */
  async write(writes: readonly PartitionWrites[]): Promise<(number | undefined)[]> {
    this.#expect('open')
    const all = writes.map(
      each => new PartitionBatches(each, this.#identity, this.#sequences.get(nameOf(each)) ?? 0, true),
    )
    await this.#orOver(() => writeBatches(this.#writer, all, this.#deadlineAt))
    for (const each of all) this.#sequences.set(nameOf(each), each.sequence)
    return all.map(({ end }) => end)
  }

  /** Commits a group's offsets of one partition with the transaction. Throws `TransactionError`; then the producer is over. */
  async commitOffsets(
    groupId: string,
    partition: number,
    positions: readonly InputPosition[],
  ): Promise<void> {
    this.#expect('open')
    const request = txnOffsetCommit(this.#version, this.#writing, groupId, partition, positions)
    await this.#orOver(() =>
      persist(request.name, this.#deadlineAt, () => this.#ask('group', groupId, request)),
    )
  }

  /** Commits (P9, P10). Throws `TransactionError`; then the producer is over, and of kind `unknown` nobody knows the outcome. */
  async commit(): Promise<void> {
    this.#expect('open')
    const request = endTxn(this.#version, this.#writing, true)
    const deadlineAt = Math.max(this.#deadlineAt, performance.now() + END_MS_MIN)
    let isUnsure = false
    const ask = async () => {
      try {
        const answer = await this.#ask('transaction', this.#transactionalId, request)
        const verdict = verdictOf(answer.code)
        isUnsure ||= verdict === 'again' || verdict === 'moved'
        return answer
      } catch (error) {
        isUnsure ||= error instanceof UnansweredError
        throw error
      }
    }
    await this.#orOver(async () => {
      try {
        const { next } = await persist(request.name, deadlineAt, ask)
        this.#identity = next ?? this.#identity
        this.#state = 'ready'
      } catch (error) {
        this.#state = 'over'
        throw isUnsure ? unknownEnd(error) : error
      }
    })
  }

  /** Ends it. A transaction that is open is aborted, so that it holds up no reader. Idempotent. */
  async close(): Promise<void> {
    if (this.#state === 'open') this.#abandon()
    this.#state = 'over'
    await this.#abandoning
  }

  get #writing(): Writing {
    return { transactionalId: this.#transactionalId, ...this.#identity }
  }

  /** Takes the transactional id over from whoever has it or, with an identity of its own, the next epoch. */
  async #acquire(deadlineAt: number): Promise<void> {
    const request = initProducerId(this.#transactionalId, this.#identity, this.#transactionTimeoutMs)
    const { producerId, epoch } = await this.#coordinate(request, deadlineAt)
    this.#identity = { producerId, epoch }
    this.#isEpochUsed = false
  }

  /** Asks what the coordinator decided of the id's last transaction, before taking over changes that. */
  async #lookBack(deadlineAt: number): Promise<void> {
    const last = await this.#coordinate(describeTransaction(this.#transactionalId), deadlineAt)
    if (last.state === 'None') return
    const fates = this.#cluster.fatesOf(this.#transactionalId, this.#version)
    fates.tell(last)
    this.#leftOpen = new LeftOpen(this.#cluster, fates)
  }

  /** Waits until it is known of all places of a transaction that nothing is open there. */
  async #see(places: readonly BatchPlace[], deadlineAt: number): Promise<void> {
    const unseen = () => this.#leftOpen?.unseenOf(places) ?? []
    if (unseen().length === 0) return
    await persist('DescribeProducers', deadlineAt, async () => {
      await this.#endLeftOpen(unseen(), deadlineAt)
      const [left] = unseen()
      if (left !== undefined) throw new Error(`${nameOf(left)} has no leader that answers`)
      return { code: 0 }
    })
  }

  /**
   * Ends what earlier producers left open at these places: an empty transaction of the version-1 protocol puts its marker
   * wherever it was told to, without a record.
   */
  async #endLeftOpen(places: readonly BatchPlace[], deadlineAt: number): Promise<void> {
    const ends = await this.#leftOpen?.find(places, this.#identity.producerId)
    for (const [end, open] of ends ?? []) {
      if (performance.now() >= deadlineAt)
        throw new TransactionError('failed', `${open.map(nameOf)} did not get its end in time`)
      await this.#coordinate(addPartitionsToTxn(this.#writing, open), deadlineAt)
      await this.#coordinate(endTxn(1, this.#writing, end === 'commit'), deadlineAt)
      // The next epoch is given out once the markers are written; one that was dropped again shows in the next look.
      await this.#acquire(deadlineAt)
      this.#endedLate?.(open.map(nameOf), end)
      await this.#endLeftOpen(open, deadlineAt)
    }
  }

  /** Asks the coordinator of the transactional id until it is settled. */
  async #coordinate<T extends Answer>(request: Request<T>, deadlineAt: number): Promise<T> {
    return await persist(request.name, deadlineAt, () =>
      this.#ask('transaction', this.#transactionalId, request),
    )
  }

  /** Asks a coordinator once; where it may be another one by now, the next call looks for it. */
  async #ask<T extends Answer>(kind: Coordinated, id: string, request: Request<T>): Promise<T> {
    const broker = this.#coordinators.get(kind) ?? (await this.#cluster.coordinatorOf(kind, id))
    this.#coordinators.delete(kind)
    const answer = await this.#cluster.coordinate(broker, request)
    if (verdictOf(answer.code) !== 'moved') this.#coordinators.set(kind, broker)
    return answer
  }

  #expect(state: State): void {
    if (this.#state !== state) throw new Error(`the producer is ${this.#state}, not ${state}`)
  }

  /** Whatever is thrown ends the producer; a transaction that is certainly not committed is aborted. */
  async #orOver(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      const failure =
        error instanceof TransactionError
          ? error
          : new TransactionError('failed', errorMessage(error), { cause: error })
      if (this.#state === 'open' && failure.kind === 'failed') this.#abandon()
      this.#state = 'over'
      throw failure
    }
  }

  /** Asks once for the abort: if it is not heard, the next owner or the time-out ends the transaction. */
  #abandon(): void {
    const request = endTxn(this.#version, this.#writing, false)
    this.#abandoning = this.#ask('transaction', this.#transactionalId, request).catch(() => {})
  }
}

function unknownEnd(cause?: unknown): TransactionError {
  return new TransactionError('unknown', 'the end of the transaction was not answered', { cause })
}
