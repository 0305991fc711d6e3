/** Tells for people which transactions are not as they must be, and what the logs have of each. */
import type { Marker } from './partition-log.ts'
import { describeState, type TransactionState } from './transaction-state.ts'
import type { Piece, Transaction, TransactionsVerdict } from './transactions.ts'

/** Transactions that are told of, of each kind. */
const TOLD_MAX = 5
/** Markers this long before a transaction's first record and after its last end are told of too, ms. */
const NEAR_MS = 2_000
const OTHERS_MAX = 30
/** States and markers that are told of, for each question. */
const ANSWERS_MAX = 100

/** One text for each transaction that is not as it must be, the first few of each kind. */
export function transactionProblems(verdict: TransactionsVerdict, markers: readonly Marker[]): string[] {
  return kindsOf(verdict).flatMap(([what, transactions]) => [
    ...transactions
      .slice(0, TOLD_MAX)
      .map(it => [`transaction ${it.name} ${what}:`, ...describeTransaction(it, markers)].join('\n    ')),
    ...(transactions.length > TOLD_MAX ? [`… and ${transactions.length - TOLD_MAX} more: ${what}`] : []),
  ])
}

/** A producer, and the time that is asked about. */
export interface Question {
  readonly about: string
  readonly producerId: bigint
  readonly fromMs: number
  readonly toMs: number
}

/** One for each transaction that `transactionProblems` tells of. */
export function questionsOf(verdict: TransactionsVerdict): Question[] {
  return kindsOf(verdict).flatMap(([, transactions]) =>
    transactions
      .slice(0, TOLD_MAX)
      .map(it => ({ about: `transaction ${it.name}`, producerId: it.producerId, ...spanOf(it) })),
  )
}

/** What the coordinators wrote down of the producers in question, and their markers, in the order of time. */
export function dumpAnswers(
  questions: readonly Question[],
  states: readonly TransactionState[],
  markers: readonly Marker[],
): string {
  return questions
    .map(({ about, producerId, fromMs, toMs }) => {
      const isNear = (at: number) => at >= fromMs - NEAR_MS && at <= toMs + NEAR_MS
      const seen = [
        ...states
          .filter(state => state.producerId === producerId && isNear(state.at))
          .map(state => ({ at: state.at, line: describeState(state) })),
        ...markers
          .filter(marker => marker.producerId === producerId && isNear(marker.timestamp))
          .map(marker => ({ at: marker.timestamp, line: `${place(marker)} ${describeMarker(marker)}` })),
      ].toSorted((a, b) => a.at - b.at)
      const left = seen.length > ANSWERS_MAX ? [`… and ${seen.length - ANSWERS_MAX} more`] : []
      const lines = seen.slice(0, ANSWERS_MAX).map(({ at, line }) => `${clock(at)} ${line}`)
      return [`producer ${producerId}, for ${about}:`, ...lines, ...left].join('\n    ')
    })
    .join('\n')
}

function kindsOf(verdict: TransactionsVerdict): [string, readonly Transaction[]][] {
  return [
    ['is torn', verdict.torn],
    ['has no end', verdict.unended],
    ['ended more than once in a partition', verdict.endedTwice],
    ['was ended by the marker of another', verdict.endedByAnother],
  ]
}

/** Every piece of a transaction with its marker, in the order of time, then its producer's other markers. */
export function describeTransaction(transaction: Transaction, markers: readonly Marker[]): string[] {
  const { producerId, pieces } = transaction
  const { fromMs, toMs } = spanOf(transaction)
  const ends = new Set(pieces.map(({ end }) => end))
  const others = markers.filter(
    marker =>
      marker.producerId === producerId &&
      !ends.has(marker) &&
      marker.timestamp >= fromMs - NEAR_MS &&
      marker.timestamp <= toMs + NEAR_MS,
  )
  return [
    ...pieces.toSorted((a, b) => a.first.timestamp - b.first.timestamp).map(describePiece),
    ...others
      .toSorted((a, b) => a.timestamp - b.timestamp)
      .slice(0, OTHERS_MAX)
      .map(marker => `${place(marker)} another end: ${describeMarker(marker)}`),
  ]
}

function spanOf({ pieces }: Transaction): { fromMs: number; toMs: number } {
  return {
    fromMs: Math.min(...pieces.map(({ first }) => first.timestamp)),
    toMs: Math.max(...pieces.map(({ last, end }) => Math.max(last.timestamp, end?.timestamp ?? 0))),
  }
}

function describePiece({ topic, partition, epoch, first, last, count, end }: Piece): string {
  const offsets = first.offset === last.offset ? `${first.offset}` : `${first.offset}–${last.offset}`
  const records = `${count} ${count === 1 ? 'record' : 'records'} (${offsets}, epoch ${epoch}, ${clock(first.timestamp)})`
  return `${place({ topic, partition })} ${records}: ${end === null ? 'no end follows' : describeMarker(end)}`
}

function describeMarker({ type, offset, epoch, timestamp, coordinatorEpoch }: Marker): string {
  return `${type} (${offset}, epoch ${epoch}, ${clock(timestamp)}, coordinator's epoch ${coordinatorEpoch})`
}

function place({ topic, partition }: Pick<Marker, 'topic' | 'partition'>): string {
  return `${topic}/${partition}`
}

function clock(timestamp: number): string {
  return new Date(timestamp).toISOString().slice(11, -1)
}
