import { setTimeout as sleep } from 'node:timers/promises'
import { defineProcessor } from '@sallyport/processor'

/** Leaves things running as its events say, which fail later. Its name comes from the test. */
const name = process.env.TEST_PROCESSOR_NAME ?? 'loose-agent'

/** Longer than any test waits: only what was left running ends such an attempt. */
const FOR_EVER_MS = 600_000

const full: unknown[] = []

export default defineProcessor({
  name,
  sources: [name],
  retry: ['100ms', '100ms', '100ms', '100ms'],
  outputs: { [`sallyport.${name}.out`]: 'agent-event.v1' },
  async handler(event, { attempt, emit, signal }) {
    const { leave } = JSON.parse(event.body.toString()) as { leave: string }
    console.log(JSON.stringify({ msg: 'the handler runs', leave, attempt, in: process.pid }))
    switch (leave) {
      case 'a rejection':
        if (attempt > 1) break
        void Promise.reject(new Error('nobody awaits this'))
        await sleep(FOR_EVER_MS, undefined, { signal })
        break
      case 'a late rejection':
        setTimeout(() => void Promise.reject(new Error('nobody awaits this either')), 50)
        break
      case 'a throwing timer':
        setTimeout(() => {
          throw new Error('thrown in a timer')
        }, 50)
        await sleep(FOR_EVER_MS, undefined, { signal })
        break
      case 'a throwing timer behind it':
        setTimeout(() => {
          throw new Error('thrown in a timer, too late')
        }, 50)
        break
      case 'no heap':
        for (;;) full.push(Array.from({ length: 100_000 }, () => ({ full })))
      case 'no end':
        for (;;);
      case 'no process':
        process.exit(0)
        break
      case 'nothing, slowly':
        await sleep(1_000)
    }
    emit(`sallyport.${name}.out`, {
      eventId: event.id,
      agentId: 'a',
      status: 'open',
      attempt,
      processedAt: Date.now(),
    })
  },
})
