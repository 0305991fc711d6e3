import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** Everything that this process counts; Prometheus' text format comes from `metrics.metrics()`. */
export const metrics = new Registry()

const registers = [metrics]
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** Deliveries since the last collection: finding the labels for each would cost more than routing it does. */
const deliveries = new Map<string, { source: string; status: number; code: string; count: number }>()

/**
 * Counts one answer of the ingress. `source` is only ever a configured name or `-`, so that strangers cannot grow
 * the metric; `status` is 0 where the sender went away.
 */
export function countDelivery(source: string, status: number, code: string): void {
  const key = `${source} ${status} ${code}`
  const entry = deliveries.get(key)
  if (entry === undefined) deliveries.set(key, { source, status, code, count: 1 })
  else entry.count++
}

export const deliveriesTotal = new Counter({
  name: 'sallyport_ingress_deliveries_total',
  help: 'Deliveries by source, HTTP status and reason code',
  labelNames: ['source', 'status', 'code'] as const,
  registers,
  collect() {
    for (const { count, ...labels } of deliveries.values()) this.inc(labels, count)
    deliveries.clear()
  },
})

export const acceptSeconds = new Histogram({
  name: 'sallyport_ingress_accept_seconds',
  help: 'From the complete body to the acknowledged record',
  buckets: SECONDS,
  registers,
})

export const previousSecretTotal = new Counter({
  name: 'sallyport_ingress_previous_secret_total',
  help: 'Deliveries accepted with a secret other than the current one',
  labelNames: ['source'] as const,
  registers,
})

export const reloadFailuresTotal = new Counter({
  name: 'sallyport_ingress_reload_failures_total',
  help: 'Reloads after which sources and secrets, or the certificate, stayed as they were',
  labelNames: ['what'] as const,
  registers,
})

/** Over 0 is worth an alarm: a secret that was taken out of the settings is still accepted. */
export const reloadFailed = new Gauge({
  name: 'sallyport_ingress_reload_failed',
  help: '1 while sources and secrets, or the certificate, are older than their files, which cannot be used',
  labelNames: ['what'] as const,
  registers,
})

/** Bytes of bodies that ingresses of this process hold; kept by `ByteBudget`. */
export const heldBodies = { bytes: 0 }

export const inFlightBytes = new Gauge({
  name: 'sallyport_ingress_in_flight_bytes',
  help: 'Bytes of bodies that arrive or wait for Kafka',
  registers,
  collect() {
    this.set(heldBodies.bytes)
  },
})

/** Outcomes of the processor: processed, duplicate, retry, dead. */
export const outcomesTotal = new Counter({
  name: 'sallyport_processor_outcomes_total',
  help: 'Settled records by processor, source and outcome',
  labelNames: ['processor', 'source', 'outcome'] as const,
  registers,
})

export const attemptSeconds = new Histogram({
  name: 'sallyport_processor_attempt_seconds',
  help: 'Duration of handlers',
  labelNames: ['processor'] as const,
  buckets: SECONDS,
  registers,
})

export const looseEndsTotal = new Counter({
  name: 'sallyport_processor_loose_ends_total',
  help: 'Failures of what handlers left running, after their attempts had ended',
  labelNames: ['processor'] as const,
  registers,
})

export const quarantinedTotal = new Counter({
  name: 'sallyport_processor_quarantined_total',
  help: 'Attempts that were made in a process of their own, because they may have ended one',
  labelNames: ['processor'] as const,
  registers,
})

export const settleSeconds = new Histogram({
  name: 'sallyport_processor_settle_seconds',
  help: 'Duration of settling transactions',
  labelNames: ['processor'] as const,
  buckets: SECONDS,
  registers,
})

export const membershipsTotal = new Counter({
  name: 'sallyport_processor_memberships_total',
  help: 'Times that a processor joined its group from scratch, by why the last stay ended',
  labelNames: ['processor', 'cause'] as const,
  registers,
})

export const claimsHeld = new Gauge({
  name: 'sallyport_processor_claims',
  help: 'Claims in memory',
  labelNames: ['processor', 'partition'] as const,
  registers,
})

export const brokerClockAhead = new Gauge({
  name: 'sallyport_processor_broker_clock_ahead_seconds',
  help: 'How far the clock of a broker is ahead of the time that is believed, negative where it is behind; only while that is more than a minute',
  labelNames: ['broker'] as const,
  registers,
})

export const claimsBytes = new Gauge({
  name: 'sallyport_processor_claims_bytes',
  help: 'Memory that the claims take',
  labelNames: ['processor', 'partition'] as const,
  registers,
})

export const claimsBytesLimit = new Gauge({
  name: 'sallyport_processor_claims_bytes_max',
  help: 'Memory that the claims of the process may take; at this point it takes no new events',
  registers,
})

export const expiredUnprocessedTotal = new Counter({
  name: 'sallyport_processor_expired_unprocessed_total',
  help: 'Records that retention deleted before they were processed',
  labelNames: ['processor'] as const,
  registers,
})

export const partitionsHeldBack = new Gauge({
  name: 'sallyport_processor_partitions_held_back',
  help: '1 for each partition that this process holds back because it fails again and again',
  labelNames: ['processor', 'partition'] as const,
  registers,
})

export const orphanedClaimsTotal = new Counter({
  name: 'sallyport_processor_orphaned_claims_total',
  help: 'Events whose retry is in no tier any more: its record expired, or the tier was deleted',
  labelNames: ['processor'] as const,
  registers,
})

export const intakeHeld = new Gauge({
  name: 'sallyport_processor_intake_held',
  help: '1 while this process takes no records of the processor, by why: breaker, paused',
  labelNames: ['processor', 'reason'] as const,
  registers,
})

export const breakerState = new Gauge({
  name: 'sallyport_processor_breaker',
  help: '1 for the state that the circuit breaker is in: closed, open, probing',
  labelNames: ['processor', 'state'] as const,
  registers,
})

export const settingsVariants = new Gauge({
  name: 'sallyport_processor_settings_variants',
  help: 'Different settings among the processes of a processor, as the leader of its group saw them; more than 1 only during a deployment',
  labelNames: ['processor'] as const,
  registers,
})

export const lagRecords = new Gauge({
  name: 'sallyport_processor_lag_records',
  help: 'Records from the position to the end of an input',
  labelNames: ['processor', 'topic', 'partition'] as const,
  registers,
})

export const lagSeconds = new Gauge({
  name: 'sallyport_processor_lag_seconds',
  help: "Age of the oldest unsettled record of an input, in a tier since it was due; by the brokers' clock",
  labelNames: ['processor', 'topic', 'partition'] as const,
  registers,
})

export const stableOffsetStalled = new Gauge({
  name: 'sallyport_processor_stable_offset_stalled',
  help: '1 where a transaction that was left open holds up reading; absent otherwise',
  labelNames: ['processor', 'topic', 'partition'] as const,
  registers,
})
