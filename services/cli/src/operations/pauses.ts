import type { AuditState } from '@sallyport/core/audit'
import type { Connection } from '@sallyport/core/connection'
import { SallyportError } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import type { PauseState } from '@sallyport/core/pauses'
import { openDesk } from './desk.ts'
import { operatorText } from './operator.ts'

/** A processor that an operator paused. */
export interface Pause extends PauseState {
  readonly processor: string
}

/** Those of the processors that are paused. */
export function pausesOf(state: AuditState, processors: readonly string[]): Pause[] {
  return processors.flatMap(processor => {
    const pause = state.pauseOf(processor)
    return pause?.paused === true ? [{ processor, ...pause }] : []
  })
}

/** Who paused a processor, since when and why, and what ends it. The reason may be anybody's text. */
export function pauseText({ processor, by, at, why }: Pause): string {
  const reason = why === '' ? '' : ` (${why})`
  return `paused since ${new Date(at).toISOString()} by ${operatorText(by)}${reason}: sallyport resume ${processor}`
}

/** Every pause of a cluster. Throws `SP_BROKER_UNREACHABLE`, `SP_REGISTRY_UNREACHABLE`. */
export async function readPauses(connection: Connection, log: Log): Promise<Pause[]> {
  try {
    const desk = await openDesk(connection, log)
    try {
      return pausesOf(await desk.audit.read(), desk.processors)
    } finally {
      await desk.close()
    }
  } catch (error) {
    // Without the audit nobody can have paused anything.
    if (error instanceof SallyportError && error.code === 'SP_TOPIC_MISMATCH') return []
    throw error
  }
}
