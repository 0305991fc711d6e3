import { defineProcessor } from '@sallyport/processor'

/** Computes for a while without awaiting, and emits one record then. Its name comes from the test. */
const name = process.env.TEST_PROCESSOR_NAME ?? 'blocking-agent'

const BLOCK_MS = 20_000

export default defineProcessor({
  name,
  sources: [name],
  retry: ['300ms', '600ms'],
  outputs: { [`sallyport.${name}.out`]: 'agent-event.v1' },
  handler(event, { attempt, emit }) {
    console.log(JSON.stringify({ msg: 'the handler blocks' }))
    const end = performance.now() + BLOCK_MS
    while (performance.now() < end);
    emit(`sallyport.${name}.out`, {
      eventId: event.id,
      agentId: 'blocked',
      status: 'open',
      attempt,
      processedAt: Date.now(),
    })
  },
})
