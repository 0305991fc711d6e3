import { EVENTS_TOPIC } from '@sallyport/core/topics'
import type { InputKind } from './claim.ts'
import type { ProcessorConfig } from './config.ts'

/** A topic that a task reads, apart from the claims. */
export interface InputSpec {
  readonly topic: string
  readonly kind: InputKind
  /** How long a record waits after its append time, ms. */
  readonly delayMs: number
}

/** The inputs of a processor's tasks: the events, its retry tiers, its redrive lane. */
export function inputSpecs(processor: ProcessorConfig): InputSpec[] {
  return [
    { topic: EVENTS_TOPIC, kind: 'events', delayMs: 0 },
    ...processor.topics.retry.map(
      (topic, i): InputSpec => ({ topic, kind: 'retry', delayMs: processor.delaysMs[i] as number }),
    ),
    { topic: processor.topics.redrive, kind: 'redrive', delayMs: 0 },
  ]
}
