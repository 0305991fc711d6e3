import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves once the condition holds; rejects when it never does. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > deadline)
      throw new Error(`the condition did not come true within ${timeoutMs / 1_000} s`)
    await sleep(20)
  }
}
