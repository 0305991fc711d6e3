import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '../../errors.ts'
import { errorName } from '../produce.ts'
import type { Answer } from './requests.ts'
import { failureOf, TransactionError, verdictOf } from './verdict.ts'

/** Between two sends of a request, ms. The first is short: the markers of the transaction before take a moment. */
const PAUSE_MS_MIN = 3
const PAUSE_MS_MAX = 100
const PAUSE_GROWTH = 1.7

/**
 * Asks until an answer settles it. What is thrown counts as no answer, but for a `TransactionError`. Throws that also when
 * the answer says that no waiting helps, or when `deadlineAt` (`performance.now()`) has come.
 */
export async function persist<T extends Answer>(
  name: string,
  deadlineAt: number,
  ask: () => Promise<T>,
): Promise<T> {
  for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(pauseMs * PAUSE_GROWTH, PAUSE_MS_MAX)) {
    let trouble: string
    try {
      const answer = await ask()
      const verdict = verdictOf(answer.code)
      if (verdict === 'done') return answer
      if (verdict === 'fenced' || verdict === 'failed') throw failureOf(verdict, name, answer.code)
      trouble = errorName(answer.code)
    } catch (error) {
      if (error instanceof TransactionError) throw error
      trouble = errorMessage(error)
    }
    if (performance.now() + pauseMs >= deadlineAt) {
      throw new TransactionError('failed', `${name} did not succeed in time: ${trouble}`)
    }
    await sleep(pauseMs)
  }
}
