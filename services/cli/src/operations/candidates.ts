import type { OffsetRange, Operation, OperationKind, Selection } from '@sallyport/core/audit'
import { HEADER } from '@sallyport/core/headers'
import { type FetchedRecord, headerText } from '@sallyport/core/kafka/group-consumer'
import { partitionOf } from '@sallyport/core/partition'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { type DeadLetter, homeOf } from './dead-letter.ts'
import { type Desk, topicsOf } from './desk.ts'
import { Ledger, type LetterState, letters } from './ledger.ts'
import { matcher } from './selection.ts'

/** A record that a selection picks. Only `dead` ones and events are sent or hidden. */
export interface Candidate {
  readonly record: FetchedRecord
  readonly state: LetterState | 'event'
  /** The partition of the redrive lane that it goes to: any other would be the wrong one for its key. */
  readonly home: number
  /** Dead letters: `DeadLetter.replay`. */
  readonly replay: number
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
  const partitions = await lanePartitions(desk, processor)
  const ledger = await Ledger.read(desk, processor, range.partition, operations)
  for await (const letter of letters(desk, processor, range.partition, range)) {
    if (matches(letter)) yield letterCandidate(letter, ledger, partitions)
  }
}

function letterCandidate(letter: DeadLetter, ledger: Ledger, partitions: number): Candidate {
  const { record, identity, source, type, reason, replay } = letter
  const { state } = ledger.standing(letter)
  return { record, state, home: homeOf(letter, partitions), replay, id: identity, source, type, reason }
}

async function lanePartitions(desk: Desk, processor: string): Promise<number> {
  return (await desk.reader.bounds(topicsOf(processor).redrive)).size
}

async function* events(
  desk: Desk,
  { processor, selection }: CandidateRequest,
  { partition, from, until }: OffsetRange,
): AsyncGenerator<Candidate> {
  const partitions = await lanePartitions(desk, processor)
  const [sources, types] = [new Set(selection.sources), new Set(selection.types)]
  for await (const { records } of desk.reader.read({ topic: EVENTS_TOPIC, partition, from, until })) {
    for (const record of records) {
      const source = headerText(record.headers, HEADER.source) ?? ''
      const type = headerText(record.headers, HEADER.type) ?? ''
      if (sources.size > 0 && !sources.has(source)) continue
      if (types.size > 0 && !types.has(type)) continue
      const home = record.key === null ? partition : partitionOf(record.key, partitions)
      yield { record, state: 'event', home, replay: 0, id: String(record.key), source, type, reason: '' }
    }
  }
}
