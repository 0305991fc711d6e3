/** A CRM outside the product's code: it signs ticket updates by the words of its own manual, and posts them. */
import { createHmac, randomUUID } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

export const CRM_SECRET = 'a secret of the container tests'

/** One delivery as it goes over the wire; the same again is the CRM's retry. */
export interface Update {
  readonly body: Buffer
  readonly signature: string
}

export function update(fields: { agent_id?: string; status?: string } = {}, secret = CRM_SECRET): Update {
  const ticket = { agent_id: 'agent_ABC', status: 'open', ticket_id: randomUUID(), ...fields }
  const body = Buffer.from(JSON.stringify({ ...ticket, timestamp: new Date().toISOString() }))
  return { body, signature: createHmac('sha256', secret).update(body).digest('hex') }
}

export function updates(count: number): Update[] {
  return Array.from({ length: count }, () => update())
}

export interface Answer {
  readonly status: number
  /** The event's id, where the update was accepted. */
  readonly id: string
  readonly body: string
}

const agents = {
  http: new HttpAgent({ keepAlive: true, maxSockets: 32 }),
  https: new HttpsAgent({ keepAlive: true, maxSockets: 32 }),
}
const ANSWER_TIMEOUT_MS = 20_000

export interface PostOptions {
  readonly headers?: Readonly<Record<string, string>>
  /** The certificate authority to trust, PEM. */
  readonly ca?: string
  /** Called between the first half of the body and the second. */
  readonly halfway?: () => Promise<void>
}

/** Posts an update; rejects where no answer came. */
export function post(url: string, { body, signature }: Update, options: PostOptions = {}): Promise<Answer> {
  const secure = url.startsWith('https:')
  return new Promise((resolve, reject) => {
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method: 'POST',
      agent: secure ? agents.https : agents.http,
      timeout: ANSWER_TIMEOUT_MS,
      headers: {
        'content-type': 'application/json',
        'content-length': body.length,
        'x-webhook-signature': signature,
        ...options.headers,
      },
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    })
    request.on('timeout', () => request.destroy(new Error(`${url} does not answer`)))
    request.on('error', reject)
    request.on('response', response => {
      const chunks: Buffer[] = []
      response.on('data', chunk => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => resolve(answerOf(response.statusCode ?? 0, Buffer.concat(chunks).toString())))
    })
    void writeBody(request, body, options.halfway).catch(reject)
  })
}

async function writeBody(
  request: NodeJS.WritableStream,
  body: Buffer,
  halfway: (() => Promise<void>) | undefined,
): Promise<void> {
  const half = halfway === undefined ? 0 : Math.floor(body.length / 2)
  if (halfway !== undefined) {
    request.write(body.subarray(0, half))
    await halfway()
  }
  request.end(body.subarray(half))
}

function answerOf(status: number, body: string): Answer {
  const id: unknown = status === 200 ? (JSON.parse(body) as { id?: unknown }).id : undefined
  return { status, body, id: typeof id === 'string' ? id : '' }
}

/** Does `work` for every item, at most `limit` at a time, and keeps the order of the results. */
export async function inParallel<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  let next = 0
  async function lane(): Promise<void> {
    while (next < items.length) {
      const index = next++
      results[index] = await work(items[index] as T, index)
    }
  }
  await Promise.all(Array.from({ length: limit }, lane))
  return results
}

/** Closes the connections that are kept open. */
export function hangUp(): void {
  agents.http.destroy()
  agents.https.destroy()
}
