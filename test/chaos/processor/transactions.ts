/**
 * Judges whether every transaction ended alike in all its partitions, from the records and markers of their logs.
 *
 * pieces (what one marker ended in one partition) → transactions (the pieces that belong together) → verdict
 *
 * V1. A transaction is torn when its pieces ended differently: committed, aborted, or not at all.
 * V2. A transaction is unended when no marker follows any of its pieces.
 * V3. With epochs of their own, a producer id and an epoch are a transaction. One that ends in a partition and has
 *     records there again shares its epoch with another, or was ended too early: its next marker cannot be told
 *     from a late one.
 * V4. With a shared epoch the transactions are told apart by the number that the checker's producers put into the
 *     header `TRANSACTION_HEADER`. Records without it are judged where their producer and epoch ended once.
 * V5. All markers of a transaction have one epoch: that of its records, or the one above, to which an end bumps it; with
 *     transaction version 2 always the one above. Any other was written for another transaction: an earlier one whose
 *     marker came late, or a later one that ended what a marker that never came had left open.
 */
import type { LogRecord, Marker } from './partition-log.ts'

/** Names a transaction among those of one epoch. */
export const TRANSACTION_HEADER = 'chaos-transaction'

export interface Judging {
  /** `own`: each transaction has an epoch of its own. `shared`: all of a producer's life have the same. */
  readonly epochs: 'own' | 'shared'
  /** The cluster's finalised `transaction.version`. */
  readonly version: 1 | 2
}

/** What one marker ended in one partition. */
export interface Piece {
  readonly topic: string
  readonly partition: number
  readonly epoch: number
  readonly first: LogRecord
  last: LogRecord
  count: number
  /** Null where nothing ended it. */
  readonly end: Marker | null
}

export interface Transaction {
  /** `producer id/epoch`, and its number where epochs are shared. */
  readonly name: string
  readonly producerId: bigint
  readonly epoch: number
  readonly pieces: Piece[]
}

export interface TransactionsVerdict {
  /** How many transactions were judged, and how many pieces they have. */
  readonly transactions: number
  readonly pieces: number
  /** How many epochs were left out because nothing tells their transactions apart (V4). */
  readonly undecided: number
  /** V1. */
  readonly torn: readonly Transaction[]
  /** V2. */
  readonly unended: readonly Transaction[]
  /** V3, torn ones left out. */
  readonly endedTwice: readonly Transaction[]
  /** V5, torn ones left out. */
  readonly endedByAnother: readonly Transaction[]
}

/** `partitions`: the records of each partition, in the order of its log. */
export function judgeTransactions(
  partitions: Iterable<readonly LogRecord[]>,
  { epochs, version }: Judging,
): TransactionsVerdict {
  const all = transactionsOf(partitions, epochs === 'shared')
  const undecided = new Set(epochs === 'own' ? [] : all.filter(it => !isNumbered(it) && endsTwice(it)))
  const judged = all.filter(it => !undecided.has(it))
  const torn = judged.filter(it => outcomes(it).size > 1)
  const whole = judged.filter(it => outcomes(it).size === 1)
  const bumpMin = epochs === 'own' && version === 2 ? 1 : 0
  const isForeign = ({ epoch, end }: Piece) =>
    end !== null && (end.epoch < epoch + bumpMin || end.epoch > epoch + 1)
  return {
    transactions: judged.length,
    pieces: judged.reduce((sum, { pieces }) => sum + pieces.length, 0),
    undecided: undecided.size,
    torn,
    unended: whole.filter(({ pieces }) => pieces[0]?.end === null),
    endedTwice: whole.filter(endsTwice),
    endedByAnother: whole.filter(it => it.pieces.some(isForeign) || endEpochs(it).size > 1),
  }
}

function transactionsOf(partitions: Iterable<readonly LogRecord[]>, isShared: boolean): Transaction[] {
  const transactions = new Map<string, Transaction>()
  for (const records of partitions) {
    const last = new Map<string, Piece>()
    for (const record of records) {
      const { producer, topic, partition, end } = record
      if (producer === null) continue
      const number = isShared ? record.headers[TRANSACTION_HEADER] : undefined
      const name = `${producer.id}/${producer.epoch}${number === undefined ? '' : `/${number}`}`
      const before = last.get(name)
      if (before !== undefined && before.end === end) {
        before.last = record
        before.count++
        continue
      }
      const piece = { topic, partition, epoch: producer.epoch, first: record, last: record, count: 1, end }
      last.set(name, piece)
      const transaction = transactions.get(name)
      if (transaction === undefined)
        transactions.set(name, { name, producerId: producer.id, epoch: producer.epoch, pieces: [piece] })
      else transaction.pieces.push(piece)
    }
  }
  return [...transactions.values()]
}

function outcomes({ pieces }: Transaction): Set<Marker['type'] | undefined> {
  return new Set(pieces.map(({ end }) => end?.type))
}

function endEpochs({ pieces }: Transaction): Set<number | undefined> {
  return new Set(pieces.map(({ end }) => end?.epoch))
}

function endsTwice({ pieces }: Transaction): boolean {
  return new Set(pieces.map(({ topic, partition }) => `${topic}/${partition}`)).size < pieces.length
}

function isNumbered({ pieces }: Transaction): boolean {
  return pieces[0]?.first.headers[TRANSACTION_HEADER] !== undefined
}
