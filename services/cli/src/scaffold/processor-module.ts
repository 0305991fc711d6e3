/** The module that `sallyport add processor` writes. */
export function processorModule(name: string, sources: readonly string[]): string {
  const only =
    sources.length === 0 ? '' : `\n  sources: [${sources.map(source => `'${source}'`).join(', ')}],`
  return `import { defineProcessor, Fatal, RetryLater } from '@sallyport/processor'

export default defineProcessor({
  name: '${name}',${only}
  // One topic each. An attempt that fails waits there for the next one; after the last comes the dead letter.
  retry: ['5s', '30s', '5m'],
  // The longest run of one attempt; its signal aborts then.
  timeout: '30s',
  // Handlers at once in one process.
  concurrency: 100,
  async handler(event, { log, attempt, idempotencyKey, signal }) {
    let update: unknown
    try {
      update = JSON.parse(event.body.toString())
    } catch {
      throw new Fatal('the body is no JSON') // no retry can help
    }
    log.info({ type: event.type, attempt, update }, 'an event')
    // Handlers may run again after a crash: hand the idempotency key to whatever you call.
    //   const response = await fetch('https://api.example.com/updates', {
    //     method: 'POST', signal, body: event.body, headers: { 'idempotency-key': idempotencyKey },
    //   })
    //   if (response.status === 429) throw new RetryLater('1m')
    void [signal, idempotencyKey, RetryLater]
  },
})
`
}
