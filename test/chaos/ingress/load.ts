/** Senders as senders are, and what they were told: one signed event after the other through the real ingress. */
import { createHash, createHmac, randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { partitionOf } from '@sallyport/core/partition'

export const SECRET = 'a secret of some length'
/** `ingress.publishTimeout` of the ingress under test. */
export const PUBLISH_TIMEOUT_MS = 10_000
const PARTITIONS = 12
const SENDERS = 64
const SENDER_PAUSE_MS = 5
/** What a machine that is busy with three brokers may add to a deadline. */
const SLACK_MS = 3_000

export interface Attempt {
  /** 0 where the connection broke. */
  readonly status: number
  readonly id: string
  readonly partition: number
  readonly tookMs: number
  readonly endedAt: number
}

export class Load {
  readonly accepted = new Set<string>()
  /** Events for which at least one attempt ended otherwise. */
  readonly refused = new Set<string>()
  readonly problems: string[] = []
  readonly attempts: Attempt[] = []
  url: string
  #running = true
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SENDERS })
  readonly #senders: Promise<void>[]

  constructor(url: string) {
    this.url = url
    this.#senders = Array.from({ length: SENDERS }, () => this.#send())
  }

  async stop(): Promise<void> {
    this.#running = false
    await Promise.all(this.#senders)
    this.#agent.destroy()
  }

  /** A sender as senders are: what is not answered 2xx it sends again. */
  async #send(): Promise<void> {
    while (this.#running) {
      const body = JSON.stringify({ id: randomUUID(), note: 'x'.repeat(900) })
      for (let tries = 0; tries < 3; tries++) {
        const attempt = await this.#attempt(body)
        this.#note(attempt)
        if (attempt.status === 200) break
        await sleep(100)
      }
      await sleep(SENDER_PAUSE_MS)
    }
  }

  #note(attempt: Attempt): void {
    const { status, id, tookMs } = attempt
    this.attempts.push(attempt)
    if (status === 200) this.accepted.add(id)
    else this.refused.add(id)
    if (tookMs > PUBLISH_TIMEOUT_MS + SLACK_MS) this.problems.push(`an answer took ${tookMs} ms`)
  }

  #attempt(body: string): Promise<Attempt> {
    const id = `crm/${createHash('sha256').update(body).digest('hex')}`
    const partition = partitionOf(Buffer.from(id), PARTITIONS)
    const signature = createHmac('sha256', SECRET).update(body).digest('hex')
    const startedAt = Date.now()
    return new Promise(resolve => {
      const ended = (status: number): void => {
        const endedAt = Date.now()
        resolve({ status, id, partition, tookMs: endedAt - startedAt, endedAt })
      }
      const headers = { 'X-Webhook-Signature': signature, 'Content-Length': Buffer.byteLength(body) }
      const req = request(
        `${this.url}/webhooks/crm`,
        { method: 'POST', agent: this.#agent, headers },
        res => {
          let text = ''
          res.on('data', chunk => {
            text += chunk
          })
          res.on('error', () => ended(0))
          res.on('end', () => {
            const status = res.statusCode ?? 0
            if (status === 200 && JSON.parse(text).id !== id)
              this.problems.push(`another id was answered: ${text}`)
            if (status === 503 && res.headers['retry-after'] === undefined)
              this.problems.push('503 without Retry-After')
            if (status !== 200 && status !== 503) this.problems.push(`${status}: ${text}`)
            ended(status)
          })
        },
      )
      req.on('error', () => ended(0))
      req.end(body)
    })
  }

  /** Waits until events are accepted again. */
  async recovered(what: string): Promise<void> {
    const before = this.accepted.size
    const deadline = Date.now() + 60_000
    while (this.accepted.size < before + SENDERS) {
      if (Date.now() > deadline) throw new Error(`the ingress did not recover from: ${what}`)
      await sleep(100)
    }
  }
}
