/**
 * An operator's pause, carried by the audit topic: it reaches every process of a processor and survives restarts.
 *
 * U1. A processor begins no attempt before it knows whether it is paused.
 * U2. While the audit cannot be read, what was known last holds.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { AuditLog } from '@sallyport/core/audit-log'
import type { Connection } from '@sallyport/core/connection'
import { errorMessage } from '@sallyport/core/errors'
import { PartitionReader } from '@sallyport/core/kafka/partition-reader'
import type { SchemaRegistry } from '@sallyport/core/kafka/registry'
import type { Log } from '@sallyport/core/log'
import type { Gate } from './gate.ts'

export interface OperatorPauseDependencies {
  readonly connection: Connection
  readonly registry: SchemaRegistry
  readonly gate: Gate
  readonly log: Log
}

/** How long it waits before it reads the audit again after a failure, ms. */
const RETRY_MS = 1_000

export class OperatorPause {
  readonly #processor: string
  readonly #deps: OperatorPauseDependencies
  readonly #known = Promise.withResolvers<void>()

  constructor(processor: string, deps: OperatorPauseDependencies) {
    this.#processor = processor
    this.#deps = deps
  }

  /** Resolves once the gate is as the operator wants it (U1), or when `follow` has ended. */
  get known(): Promise<void> {
    return this.#known.promise
  }

  /** Keeps the gate as operators want it, until `signal` aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    const { connection, registry, log } = this.#deps
    const reader = new PartitionReader(connection, `sallyport-${this.#processor}`)
    const audit = new AuditLog({ reader, registry })
    while (!signal.aborted) {
      try {
        await audit.followPauses(signal, pauses =>
          this.#apply(pauses.pauseOf(this.#processor)?.paused === true),
        )
      } catch (error) {
        log.warn({ error: errorMessage(error) }, 'the audit cannot be read; asking again whether to pause')
        await sleep(RETRY_MS, undefined, { signal }).catch(() => {})
      }
    }
    await reader.close()
    this.#known.resolve()
  }

  #apply(paused: boolean): void {
    const { gate } = this.#deps
    if (paused) gate.hold('paused')
    else gate.release('paused')
    this.#known.resolve()
  }
}
