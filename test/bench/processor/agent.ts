/** The processor under test: waits as long as its settings say, then emits one record. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineProcessor } from '@sallyport/processor'
import { OUTPUT } from './names.ts'

export default defineProcessor({
  name: process.env.BENCH_PROCESSOR ?? 'bench',
  outputs: { [OUTPUT]: 'agent-event.v1' },
  async handler(event, { attempt, emit, settings }) {
    const startedAt = Date.now()
    if (settings.waitMs !== 0) await sleep(settings.waitMs as number)
    emit(OUTPUT, { eventId: event.id, agentId: 'bench', status: 'done', attempt, processedAt: startedAt })
  },
})
