import { setTimeout as sleep } from 'node:timers/promises'
import { defineProcessor } from '@sallyport/processor'

/**
 * Emits one record per event; every tenth event fails twice first. With TEST_HANDLER_HANGS its handler never ends, and
 * ignores its signal. Its name comes from the test.
 */
const name = process.env.TEST_PROCESSOR_NAME ?? 'outage-agent'

export default defineProcessor({
  name,
  sources: [name],
  retry: ['200ms', '400ms', '800ms'],
  outputs: { [`sallyport.${name}.out`]: 'agent-event.v1' },
  async handler(event, { attempt, emit, signal }) {
    if (process.env.TEST_HANDLER_HANGS !== undefined) {
      console.log(JSON.stringify({ msg: 'the handler hangs' }))
      await new Promise(() => {})
    }
    await sleep(10, undefined, { signal })
    const { i } = JSON.parse(event.body.toString()) as { i: number }
    if (i % 10 === 0 && attempt < 3) throw new Error('not yet')
    emit(`sallyport.${name}.out`, {
      eventId: event.id,
      agentId: 'a',
      status: 'open',
      attempt,
      processedAt: Date.now(),
    })
  },
})
