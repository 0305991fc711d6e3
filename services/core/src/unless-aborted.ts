/** What comes of the work; undefined as soon as the signal aborts, whatever the work still waits for. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const aborted = Promise.withResolvers<undefined>()
  const abort = (): void => aborted.resolve(undefined)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  return await Promise.race([work, aborted.promise]).finally(() => signal.removeEventListener('abort', abort))
}
