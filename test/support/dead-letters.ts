/** Dead letters in any number, written as a processor would have. */
import { HEADER } from '@sallyport/core/headers'
import { eventOf, type Topics } from './events.ts'

const BATCH = 1_000

/** What the letters say besides. */
interface Letter {
  readonly body?: object
  readonly message?: string
}

/** Appends so many dead letters of a source to a processor's dead-letter topic; returns the ids of their events. */
export async function appendDeadLetters(
  topics: Topics,
  processor: string,
  source: string,
  count: number,
  { body = { pad: 'x'.repeat(400) }, message = 'down' }: Letter = {},
): Promise<string[]> {
  const attempt = { attempt: 1, startedAt: Date.now(), durationMs: 5, code: 'SP_HANDLER_FAILED', message }
  const headers = {
    [HEADER.attempt]: '1',
    [HEADER.reason]: 'exhausted',
    [HEADER.code]: 'SP_HANDLER_FAILED',
    [HEADER.message]: message,
    [HEADER.processor]: `${processor}@1`,
    [HEADER.origin]: 'sallyport.events/0/0',
    [HEADER.history]: JSON.stringify([attempt]),
  }
  const ids: string[] = []
  for (let n = 0; n < count; n += BATCH) {
    const events = Array.from({ length: Math.min(BATCH, count - n) }, (_, i) => ({
      ...eventOf(source, { n: n + i, ...body }),
      type: (n + i) % 10 === 0 ? 'tenth' : 'other',
    }))
    await topics.append(events, `sallyport.${processor}.dead-letter`, headers)
    ids.push(...events.map(({ id }) => id))
  }
  return ids.sort()
}
