/** What a quarantine and its ward tell each other. */
import type { Event } from '@sallyport/core/event'
import type { ProcessorEntry } from '@sallyport/core/settings'
import type { SpanContext } from '@sallyport/core/trace'
import type { AttemptResult } from './attempt.ts'
import type { Round } from './claim.ts'
import type { OutputLimits } from './outputs.ts'

/** What a ward needs to run a processor's handler, and to encode what it emits. */
export interface WardSettings {
  readonly entry: ProcessorEntry
  /** Output topic → id of its schema. */
  readonly schemaIds: ReadonlyMap<string, number>
  readonly partitions: number
  readonly limits: OutputLimits
}

/** An attempt, as it is sent to a ward. */
export interface WardAttempt {
  readonly event: Event
  readonly round: Round
  readonly epoch: number
  readonly partition: number
  readonly span: SpanContext
}

export type ToWard =
  | { readonly kind: 'settings'; readonly settings: WardSettings }
  | { readonly kind: 'attempt'; readonly id: number; readonly attempt: WardAttempt }
  /** Nothing follows from this attempt any more. */
  | { readonly kind: 'cut'; readonly id: number }
  | { readonly kind: 'ping' }

export type FromWard =
  | { readonly kind: 'ready' }
  | { readonly kind: 'ended'; readonly id: number; readonly result: AttemptResult }
  | { readonly kind: 'pong' }
  /** Something that a handler left running failed after its attempt. */
  | { readonly kind: 'fault' }
  /** It ends because of an exception; `known`: of an attempt that it has named. */
  | { readonly kind: 'broken'; readonly known: boolean }
