/**
 * Operators' pauses, carried by the audit topic: they reach every process of a processor and survive restarts. A process
 * follows the audit once for all of its processors.
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
import type { Pauses } from '@sallyport/core/pauses'
import type { Gate } from './gate.ts'

export interface OperatorPausesDependencies {
  readonly connection: Connection
  readonly registry: SchemaRegistry
  readonly log: Log
}

/** How long it waits before it reads the audit again after a failure, ms. */
const RETRY_MS = 1_000

export class OperatorPauses {
  readonly #gates: ReadonlyMap<string, Gate>
  readonly #deps: OperatorPausesDependencies
  readonly #known = Promise.withResolvers<void>()

  /** `gates`: by the processors' names. */
  constructor(gates: ReadonlyMap<string, Gate>, deps: OperatorPausesDependencies) {
    this.#gates = gates
    this.#deps = deps
  }

  /** Resolves once the gates are as operators want them (U1), or when `follow` has ended. */
  get known(): Promise<void> {
    return this.#known.promise
  }

  /** Keeps the gates as operators want them, until `signal` aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    const { connection, registry, log } = this.#deps
    const reader = new PartitionReader(connection, 'sallyport-pauses')
    const audit = new AuditLog({ reader, registry })
    while (!signal.aborted) {
      try {
        await audit.followPauses(signal, pauses => this.#apply(pauses))
      } catch (error) {
        log.warn({ error: errorMessage(error) }, 'the audit cannot be read; asking again whether to pause')
        await sleep(RETRY_MS, undefined, { signal }).catch(() => {})
      }
    }
    await reader.close()
    this.#known.resolve()
  }

  #apply(pauses: Pauses): void {
    for (const [processor, gate] of this.#gates) {
      if (pauses.pauseOf(processor)?.paused === true) gate.hold('paused')
      else gate.release('paused')
    }
    this.#known.resolve()
  }
}
