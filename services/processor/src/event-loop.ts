import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'

const TICK_MS = 500

/**
 * Says when this process stood still for half of the session time-out or longer: no heartbeat is sent meanwhile, so the
 * group may give its partitions away. Their new owners fence it; what its handlers did meanwhile is discarded.
 */
export function watchEventLoop(sessionTimeoutMs: number, log: Log): { stop(): void } {
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    const lateMs = Math.round(now - last - TICK_MS)
    last = now
    if (lateMs < sessionTimeoutMs / 2) return
    const error = new SallyportError(
      'SP_BLOCKED',
      `the process stood still for ${lateMs} ms: a handler computes without awaiting, or the machine was stopped; move such work to a worker thread`,
    )
    log.error({ lateMs, sessionTimeoutMs }, errorMessage(error))
  }, TICK_MS)
  return { stop: () => clearInterval(timer) }
}
