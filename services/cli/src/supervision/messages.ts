import type { MetricObject } from 'prom-client'

/** What a supervisor and a process of its tell each other. */
export type ToSupervised = { readonly kind: 'ping' } | { readonly kind: 'metrics'; readonly id: number }

export type FromSupervised =
  | { readonly kind: 'pong' }
  /** The service does its work. */
  | { readonly kind: 'ready'; readonly url?: string }
  | { readonly kind: 'metrics'; readonly id: number; readonly metrics: readonly MetricObject[] }
