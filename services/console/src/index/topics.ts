import { AUDIT_TOPIC, EVENTS_TOPIC } from '@sallyport/core/topics'

/** What a topic of the product holds. */
export type TopicRole =
  | { readonly kind: 'events' | 'audit' }
  | { readonly kind: 'claims' | 'dead-letter' | 'redrive'; readonly processor: string }
  | { readonly kind: 'retry'; readonly processor: string; readonly tier: number }

const PROCESSOR_TOPIC = /^sallyport\.([a-z][a-z0-9-]*)\.(?:(claims|dead-letter|redrive)|retry\.(\d{1,3}))$/

/** The role that a topic's name tells; undefined for others, such as outputs. */
export function topicRole(topic: string): TopicRole | undefined {
  if (topic === EVENTS_TOPIC) return { kind: 'events' }
  if (topic === AUDIT_TOPIC) return { kind: 'audit' }
  const [, processor, kind, tier] = PROCESSOR_TOPIC.exec(topic) ?? []
  if (processor === undefined) return undefined
  if (tier !== undefined) return { kind: 'retry', processor, tier: Number(tier) }
  return { kind: kind as 'claims' | 'dead-letter' | 'redrive', processor }
}
