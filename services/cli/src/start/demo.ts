import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '@sallyport/core/errors'
import { sampleUpdates, sign, type TicketUpdate } from '../samples.ts'

const POST_TIMEOUT_MS = 15_000
/** A line after this many deliveries, so that the terminal shows life and stays readable. */
const LINE_EVERY = 10

/** What the demo's traffic needs. */
export interface DemoRequest {
  /** Base URL of the ingress. */
  readonly ingress: string
  readonly secret: string
  /** Pause between two deliveries, ms. */
  readonly intervalMs: number
  readonly say: (line: string) => void
}

/** Sends one signed sample webhook after another until it is stopped. Stopping waits for the one in flight. */
export function startDemo(request: DemoRequest): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const running = run(request, stopping.signal)
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}

async function run(request: DemoRequest, signal: AbortSignal): Promise<void> {
  let queue: TicketUpdate[] = []
  const counts = { accepted: 0, refused: 0 }
  while (!signal.aborted) {
    if (queue.length === 0) queue = sampleUpdates()
    const update = queue.shift() as TicketUpdate
    const problem = await deliver(request, { ...update, timestamp: new Date().toISOString() })
    if (problem === undefined) counts.accepted += 1
    else counts.refused += 1
    if (problem !== undefined) request.say(`demo: ${update.agent_id} ${update.status}: ${problem}`)
    else if (counts.accepted % LINE_EVERY === 1) {
      request.say(`demo: ${counts.accepted} updates accepted, ${counts.refused} not`)
    }
    await sleep(request.intervalMs, undefined, { signal }).catch(() => {})
  }
}

/** Posts one update; returns what went wrong, or undefined. */
async function deliver(request: DemoRequest, update: TicketUpdate): Promise<string | undefined> {
  const body = JSON.stringify(update)
  try {
    const response = await fetch(`${request.ingress}/webhooks/crm`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-webhook-signature': sign(body, request.secret) },
      body,
      signal: AbortSignal.timeout(POST_TIMEOUT_MS),
    })
    const text = await response.text()
    return response.ok ? undefined : `${response.status} ${text.slice(0, 200)}`
  } catch (error) {
    return errorMessage(error)
  }
}
