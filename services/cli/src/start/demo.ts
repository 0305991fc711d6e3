import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '@sallyport/core/errors'
import { deliver } from '../send/deliver.ts'
import type { Sample, Sender } from '../send/sender.ts'

/** A line after this many deliveries, so that the terminal shows life and stays readable. */
const LINE_EVERY = 10
/** What is shown of an answer that is no acceptance. */
const ANSWER_CHARS_MAX = 200

/** What the demo's traffic needs. */
export interface DemoRequest {
  /** Where the source's deliveries go. */
  readonly url: string
  readonly sender: Sender
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
  const counts = { accepted: 0, refused: 0 }
  for (let i = 0; !signal.aborted; i++) {
    const samples = request.sender.samples(Date.now())
    const sample = samples[i % samples.length] as Sample
    const problem = await problemOf(request, sample)
    if (problem === undefined) counts.accepted += 1
    else counts.refused += 1
    if (problem !== undefined) request.say(`demo: ${sample.title}: ${problem}`)
    else if (counts.accepted % LINE_EVERY === 1) {
      request.say(`demo: ${counts.accepted} updates accepted, ${counts.refused} not`)
    }
    await sleep(request.intervalMs, undefined, { signal }).catch(() => {})
  }
}

/** Posts one sample; returns what went wrong, or undefined. */
async function problemOf({ url, sender }: DemoRequest, sample: Sample): Promise<string | undefined> {
  try {
    const headers = sender.headersOf(sample, url, Date.now())
    const { status, body, isAccepted } = await deliver(url, sample.body, headers)
    return isAccepted ? undefined : `${status} ${body.slice(0, ANSWER_CHARS_MAX)}`
  } catch (error) {
    return errorMessage(error)
  }
}
