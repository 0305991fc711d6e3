/** Runs an ingress in the test's process, on a real broker, with sources of its own, and speaks HTTP to it. */
import { createHmac, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'
import { request as requestTls } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Connection } from '@sallyport/core/connection'
import { createLog, type Log } from '@sallyport/core/log'
import { loadSettings } from '@sallyport/core/settings'
import { type RunningIngress, startIngress } from '@sallyport/ingress/main'
import { PARTITIONS } from './processor.ts'

export const SECRET = 'correct horse battery staple'

export interface TestIngress extends RunningIngress {
  /** A name that no other test run uses, and that the settings may hold as SOURCE. */
  readonly source: string
  readonly folder: string
  /** Writes sallyport.yaml anew. */
  configure(yaml: string): void
  stop(): Promise<void>
}

/** The article's scheme, under the name SOURCE. */
export const CRM = `
sources:
  SOURCE:
    scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }
    secrets: ['\${file:FOLDER/secret}']
    timestamp: '$.timestamp'
    required: ['$.agent_id', '$.status']
    type: '$.status'
`

export interface TestIngressOptions {
  /** Settings of the ingress, as a line of YAML's flow style. */
  readonly ingress?: string
  readonly log?: Log
  /** What stands in the file FOLDER/secret. */
  readonly secret?: string
}

/** Starts an ingress on a free port. In `yaml`, SOURCE and FOLDER stand for names of this run. */
export async function testIngress(
  connection: Connection,
  yaml: string = CRM,
  { ingress = '', log = silent(), secret = SECRET }: TestIngressOptions = {},
): Promise<TestIngress> {
  const source = `test-${randomBytes(5).toString('hex')}`
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-ingress-'))
  const file = path.join(folder, 'sallyport.yaml')
  const configure = (text: string): void => {
    const topics = text.includes('topics:') ? '' : `topics: { partitions: ${PARTITIONS} }\n`
    const window = text.includes('window:') ? '' : 'window: 3d\n'
    const port = ingress.includes('port:') ? '' : 'port: 0, '
    const whole = `${topics}${window}ingress: { ${port}${ingress} }\n${text}`
    writeFileSync(file, whole.replaceAll('SOURCE', source).replaceAll('FOLDER', folder))
  }
  writeFileSync(path.join(folder, 'secret'), `${secret}\n`)
  configure(yaml)
  const running = await startIngress(loadSettings(file, {}), connection, log)
  return {
    ...running,
    source,
    folder,
    configure,
    async stop() {
      await running.drain(5_000)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function silent(): Log {
  const log = createLog('test')
  log.level = process.env.LOG_LEVEL ?? 'silent'
  return log
}

/** A log that keeps its lines. */
export function keptLog(): { log: Log; lines: string[] } {
  const lines: string[] = []
  return { log: createLog('test', { write: line => void lines.push(line) }), lines }
}

/** The article's signature. */
export function signed(body: string | Buffer, secret: string = SECRET): Record<string, string> {
  return { 'X-Webhook-Signature': createHmac('sha256', secret).update(body).digest('hex') }
}

/** A ticket update as the article's CRM sends it; every one is another. */
export function ticket(fields: Record<string, unknown> = {}): string {
  return JSON.stringify({
    agent_id: `agent_${randomBytes(4).toString('hex')}`,
    status: 'resolved',
    timestamp: new Date().toISOString(),
    ...fields,
  })
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly json: Record<string, unknown>
}

export interface Sending {
  readonly method?: string
  readonly headers?: OutgoingHttpHeaders
  /** Chunks are sent with chunked transfer encoding. */
  readonly body?: string | Buffer | readonly (string | Buffer)[]
}

/** Sends one request on a connection of its own and gives the answer. */
export function send(url: string, sending: Sending = {}): Promise<Answer> {
  const { method = 'POST', headers = {}, body } = sending
  return new Promise((resolve, reject) => {
    const call = url.startsWith('https:') ? requestTls : request
    const req = call(url, { method, headers, agent: false, rejectUnauthorized: false }, res => {
      const chunks: Buffer[] = []
      res.on('data', chunk => chunks.push(chunk))
      res.on('error', reject)
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ status: res.statusCode ?? 0, headers: res.headers, text, json: asJson(text) })
      })
    })
    req.on('error', reject)
    if (Array.isArray(body)) {
      for (const chunk of body) req.write(chunk)
      req.end()
    } else {
      req.end(body)
    }
  })
}

function asJson(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

/** Writes bytes to the server and gives everything that it says until it closes, or until `enough` is contained. */
export function speak(url: string, bytes: string | Buffer, enough?: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname)
    let said = ''
    socket.on('data', chunk => {
      said += chunk.toString('latin1')
      if (enough !== undefined && said.includes(enough)) socket.destroy()
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(said))
    socket.write(bytes)
  })
}
