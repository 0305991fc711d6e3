/**
 * Handlers that leave rejections behind. One of an attempt under way must fail it, as if it had thrown; one of an attempt
 * that has ended must change nothing. Neither may end a process, which the verdict sees.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from './random.ts'

/** What the handler of an event leaves running. */
export interface LooseEnds {
  /** Attempts that fail do so by a rejection that nobody awaits. */
  readonly failure: boolean
  /** The attempt that succeeds is followed by a rejection. */
  readonly rejection: boolean
}

/** Behind the end of an attempt, and mostly behind its transaction, ms. */
const LATE_MS = 200
/** An attempt that such a rejection did not fail would be seen: it takes this long, ms. */
const STUCK_MS = 600_000

export function looseEndsOf(random: Random): LooseEnds {
  return { failure: random.next() < 0.3, rejection: random.next() < 0.05 }
}

/** Fails the attempt by a rejection that nobody awaits. */
export async function failLoosely(error: Error, signal: AbortSignal): Promise<void> {
  void Promise.reject(error)
  await sleep(STUCK_MS, undefined, { signal })
}

/** Leaves something running that fails once the attempt has ended. */
export function leaveRejection(): void {
  setTimeout(() => void Promise.reject(new Error('left running')), LATE_MS)
}
