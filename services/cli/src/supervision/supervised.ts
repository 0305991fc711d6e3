/** A service under a supervisor: it answers, and says when it does its work. Without a supervisor nothing is said. */
import { metrics } from '@sallyport/core/metrics'
import type { FromSupervised, ToSupervised } from './messages.ts'

/** Set for the processes that a supervisor starts: how many of them share the machine's memory. */
export const SUPERVISED = 'SALLYPORT_SUPERVISED'

/** Whether this process has a supervisor. */
export const isSupervised = process.env[SUPERVISED] !== undefined && process.channel !== undefined

/** How many processes share the machine's memory, this one included. */
export const sharers = isSupervised ? Number(process.env[SUPERVISED]) : 1

/** Begins to answer. What keeps the event loop from its answer for long is what the supervisor looks for. */
export function answerSupervisor(): void {
  if (!isSupervised) return
  process.on('message', (message: ToSupervised) => {
    if (message.kind === 'ping') tell({ kind: 'pong' })
    else void metrics.getMetricsAsJSON().then(all => tell({ kind: 'metrics', id: message.id, metrics: all }))
  })
  // Nothing but the service itself keeps this process.
  process.channel?.unref()
}

/** Says that the service does its work; `url` of one that listens. */
export function tellReady(url?: string): void {
  if (isSupervised) tell({ kind: 'ready', ...(url === undefined ? {} : { url }) })
}

function tell(message: FromSupervised): void {
  if (process.connected) process.send?.(message, () => {})
}
