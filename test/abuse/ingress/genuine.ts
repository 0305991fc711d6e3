/** A hundred genuine deliveries a second, half of them on connections of their own, and what became of each. */
import { createHmac, randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'

export const SECRET = 'a secret of some length'
const PER_SECOND = 100
const ADDRESS = '127.0.0.2'
/** No answer for this long is none. */
const TIMEOUT_MS = 15_000

interface Delivery {
  readonly startedAt: number
  readonly tookMs: number
  /** The status, or how it failed. */
  readonly answer: string
}

export interface Summary {
  readonly count: number
  /** Every answer but 200, and how often. */
  readonly others: ReadonlyMap<string, number>
  readonly p50Ms: number
  readonly p99Ms: number
  readonly longestMs: number
}

export class GenuineSenders {
  /** So many sockets of theirs may be open at once. */
  static readonly SOCKETS_MAX = 100
  readonly #url: URL
  readonly #kept = new Agent({ keepAlive: true, maxSockets: 20, localAddress: ADDRESS })
  readonly #own = new Agent({ localAddress: ADDRESS })
  readonly #deliveries: Delivery[] = []
  readonly #underWay = new Map<Promise<void>, number>()
  readonly #timer: NodeJS.Timeout
  readonly #startedAt = Date.now()
  #sent = 0

  constructor(url: string) {
    this.#url = new URL('/webhooks/crm', url)
    this.#timer = setInterval(() => this.#catchUp(), 5)
  }

  /** What became of the deliveries that began between two times; one without an answer yet counts as that slow. */
  between(from: number, until: number): Summary {
    const of = this.#deliveries.filter(({ startedAt }) => startedAt >= from && startedAt < until)
    const waits = [...this.#underWay.values()]
      .filter(at => at >= from && at < until)
      .map(at => Date.now() - at)
    const took = [...of.map(({ tookMs }) => tookMs), ...waits].sort((a, b) => a - b)
    const others = new Map<string, number>()
    for (const { answer } of of) if (answer !== '200') others.set(answer, (others.get(answer) ?? 0) + 1)
    const quantile = (q: number) => Math.round(took[Math.floor(took.length * q)] ?? 0)
    return {
      count: of.length,
      others,
      p50Ms: quantile(0.5),
      p99Ms: quantile(0.99),
      longestMs: Math.round(took.at(-1) ?? 0),
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#underWay.keys())
    this.#kept.destroy()
  }

  #catchUp(): void {
    const due = Math.floor(((Date.now() - this.#startedAt) * PER_SECOND) / 1_000)
    for (; this.#sent < due; this.#sent++) {
      const delivery = this.#deliver(this.#sent % 2 === 0 ? this.#kept : this.#own)
      this.#underWay.set(delivery, Date.now())
      void delivery.then(() => this.#underWay.delete(delivery))
    }
  }

  #deliver(agent: Agent): Promise<void> {
    const body = JSON.stringify({ id: randomUUID(), note: 'x'.repeat(900) })
    const headers = {
      'X-Webhook-Signature': createHmac('sha256', SECRET).update(body).digest('hex'),
      'Content-Length': body.length,
    }
    const startedAt = Date.now()
    return new Promise(resolve => {
      const ended = (answer: string): void => {
        this.#deliveries.push({ startedAt, tookMs: Date.now() - startedAt, answer })
        resolve()
      }
      const req = request(this.#url, { method: 'POST', agent, headers, timeout: TIMEOUT_MS }, res => {
        res.resume()
        res.on('error', error => ended(error.message))
        res.on('end', () => ended(String(res.statusCode)))
      })
      req.on('timeout', () => req.destroy(new Error('no answer')))
      req.on('error', error => ended(error.message))
      req.end(body)
    })
  }
}
