/**
 * What handlers leave running: a promise that nobody awaits, a timer, an event emitter. When it fails, Node tells the
 * process alone, and would end it with all that it runs. The asynchronous context tells whose it is.
 *
 * | fails                 | while its attempt runs                 | after its attempt has ended              |
 * |-----------------------|----------------------------------------|------------------------------------------|
 * | a rejected promise    | the attempt fails, as if it had thrown | logged and counted; the process goes on  |
 * | an uncaught exception | the attempt fails as crashed, and the process drains and ends | logged and counted; the process drains and ends |
 *
 * A promise that is rejected by hand belongs to whoever rejects it: a pool that one attempt opened and another one uses
 * may charge the first.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import { looseEndsTotal } from '@sallyport/core/metrics'

/** What nobody caught: Node says that the process can go on after the first, and cannot after the second. */
export type LooseEnd = 'rejection' | 'exception'

/** An attempt, as what it leaves running knows it: small, since a connection that it opened keeps it for good. */
export interface Origin {
  readonly processor: string
  readonly eventId: string
  readonly attempt: number
  /** Fails the attempt; undefined once it has ended. */
  fail: ((error: unknown, looseEnd: LooseEnd) => void) | undefined
}

/** Who is charged: an attempt that runs; its processor, with a fault, once it has ended; or nobody that is known. */
export type Charged = 'attempt' | 'fault' | 'nobody'

const origins = new AsyncLocalStorage<Origin>()

/** Runs a handler, so that whatever it leaves running is known as its attempt's. */
export function runAs<T>(origin: Origin, handler: () => T): T {
  return origins.run(origin, handler)
}

/**
 * Charges what nobody caught to the attempt that left it running. To be called within Node's event, whose asynchronous
 * context is that of the failure.
 */
export function chargeLooseEnd(error: unknown, looseEnd: LooseEnd, log: Log): Charged {
  const origin = origins.getStore()
  if (origin === undefined) return 'nobody'
  const { processor, eventId, attempt, fail } = origin
  if (fail !== undefined) {
    fail(error, looseEnd)
    return 'attempt'
  }
  looseEndsTotal.inc({ processor })
  const fault = new SallyportError(
    'SP_HANDLER_LOOSE_END',
    `what a handler of ${processor} left running failed after its attempt had ended (${errorMessage(error)}); nothing was retried: await what the handler starts`,
  )
  log.error({ processor, event: eventId, attempt, stack: stackOf(error) }, fault.message)
  return 'fault'
}

/** The stack of anything that was thrown, as far as it has one. Never throws. */
export function stackOf(error: unknown): string | undefined {
  try {
    return error instanceof Error ? error.stack : undefined
  } catch {
    return undefined
  }
}
