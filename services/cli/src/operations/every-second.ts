import { setTimeout as sleep } from 'node:timers/promises'

const SECOND_MS = 1_000

/** Hands on what a source gives, and does `work` once a second: before the next one, also while that is looked for. */
export async function* everySecond<T>(
  source: AsyncGenerator<T>,
  work: () => Promise<void>,
): AsyncGenerator<T> {
  const second = (): Promise<boolean> => sleep(SECOND_MS, true, { ref: false })
  let due = second()
  try {
    for (;;) {
      const next = source.next()
      // Whoever waits for it below is told.
      next.catch(() => {})
      while (await Promise.race([next.then(() => false), due])) {
        await work()
        due = second()
      }
      const { done, value } = await next
      if (done) return
      yield value
    }
  } finally {
    void source.return(undefined).catch(() => {})
  }
}
