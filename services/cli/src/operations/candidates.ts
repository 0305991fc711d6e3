import type { OffsetRange, Operation, OperationKind, Selection } from '@sallyport/core/audit'
import { HEADER } from '@sallyport/core/headers'
import { type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import type { DeadLetter } from './dead-letter.ts'
import type { Desk } from './desk.ts'
import { Ledger, type LetterState, letters } from './ledger.ts'
import { matcher } from './selection.ts'

/** A record that a selection picks. Only `dead` ones and events are sent or hidden. */
export interface Candidate {
  readonly record: FetchedRecord
  readonly state: LetterState | 'event'
  readonly id: string
  readonly source: string
  readonly type: string
  /** Dead letters: why they died. */
  readonly reason: string
}

export interface CandidateRequest {
  readonly kind: OperationKind
  readonly processor: string
  readonly selection: Selection
  /** Earlier operations on the processor, oldest first. */
  readonly operations: readonly Operation[]
}

/** What a selection picks among the offsets of one partition, oldest first. */
export function candidates(
  desk: Desk,
  request: CandidateRequest,
  range: OffsetRange,
): AsyncGenerator<Candidate> {
  return request.kind === 'REPLAY' ? events(desk, request, range) : deadOnes(desk, request, range)
}

async function* deadOnes(
  desk: Desk,
  { processor, selection, operations }: CandidateRequest,
  range: OffsetRange,
): AsyncGenerator<Candidate> {
  const matches = matcher(selection, true)
  const ledger = await Ledger.read(desk, processor, range.partition, operations)
  for await (const letter of letters(desk, processor, range.partition, range)) {
    if (matches(letter)) yield letterCandidate(letter, ledger)
  }
}

function letterCandidate(letter: DeadLetter, ledger: Ledger): Candidate {
  const { record, identity, source, type, reason } = letter
  return { record, state: ledger.standing(letter).state, id: identity, source, type, reason }
}

async function* events(
  desk: Desk,
  { selection }: CandidateRequest,
  { partition, from, until }: OffsetRange,
): AsyncGenerator<Candidate> {
  const [sources, types] = [new Set(selection.sources), new Set(selection.types)]
  for await (const { records } of desk.reader.read({ topic: EVENTS_TOPIC, partition, from, until })) {
    for (const record of records) {
      const source = headerText(record.headers, HEADER.source) ?? ''
      const type = headerText(record.headers, HEADER.type) ?? ''
      if (sources.size > 0 && !sources.has(source)) continue
      if (types.size > 0 && !types.has(type)) continue
      yield { record, state: 'event', id: String(record.key), source, type, reason: '' }
    }
  }
}
