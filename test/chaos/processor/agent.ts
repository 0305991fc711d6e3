/** The processor under test: does what an event's fate says. */
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineProcessor, Fatal } from '@sallyport/processor'
import { type Fate, TIERS } from './fate.ts'
import { failLoosely, leaveRejection } from './loose-ends.ts'

export const NAME = 'chaos'
export const OUTPUT = `sallyport.${NAME}.out`

export default defineProcessor({
  name: NAME,
  sources: [NAME],
  retry: TIERS,
  concurrency: 50,
  outputs: { [OUTPUT]: 'agent-event.v1' },
  async handler(event, { attempt, emit, signal }) {
    const fate = JSON.parse(event.body.toString()) as Fate
    await sleep(fate.takesMs, undefined, { signal })
    if (fate.away !== undefined && existsSync(fate.away.file))
      throw fate.away.fatal ? new Fatal('away, as if for good') : new Error('away')
    if (fate.fatal) throw new Fatal('no retry can help')
    if (attempt <= fate.failures) {
      const failure = new Error(`attempt ${attempt} of ${fate.failures} that fail`)
      if (fate.leaves.failure) await failLoosely(failure, signal)
      throw failure
    }
    const value = { eventId: event.id, agentId: 'chaos', status: 'done', attempt, processedAt: Date.now() }
    emit(OUTPUT, value)
    if (fate.leaves.rejection) leaveRejection()
    if (fate.outputs === 2) emit(OUTPUT, value, { key: `second-${event.id}` })
  },
})
