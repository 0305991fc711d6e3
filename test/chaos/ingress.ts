/**
 * `npm run test:chaos:ingress [-- --short]`: the ingress among failing brokers.
 *
 * Three brokers, 64 senders through the real ingress, and faults one after the other. What must hold, checked by a
 * consumer that shares no code with the product:
 * - every event that was answered 2xx is in the topic
 * - an event that is there twice was answered by something else than 2xx at least once (503, time-out, broken
 *   connection): then its sender had to send again
 * - what was refused was refused with 503 and Retry-After within the deadline
 * - after every fault the ingress accepts again by itself
 */
import { createHash, createHmac, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { IngressProcess } from '../support/ingress-process.ts'
import { rawKafka } from '../support/raw-kafka.ts'

const SHORT = process.argv.includes('--short')
const KILL_EVERY_MS = 8_000
const KILLING_MS = SHORT ? 24_000 : 60_000
const SENDERS = 64
const SENDER_PAUSE_MS = 5
const PUBLISH_TIMEOUT_MS = 10_000
/** What a machine that is busy with three brokers may add to a deadline. */
const SLACK_MS = 3_000
const SECRET = 'a secret of some length'
const TOPIC = 'sallyport.events'

interface Attempt {
  readonly status: number
  readonly id: string
  readonly tookMs: number
}

class Load {
  readonly accepted = new Set<string>()
  /** Events for which at least one attempt ended otherwise. */
  readonly refused = new Set<string>()
  readonly problems: string[] = []
  readonly statuses = new Map<number, number>()
  readonly took: number[] = []
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

  #note({ status, id, tookMs }: Attempt): void {
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
    this.took.push(tookMs)
    if (status === 200) this.accepted.add(id)
    else this.refused.add(id)
    if (tookMs > PUBLISH_TIMEOUT_MS + SLACK_MS) this.problems.push(`an answer took ${tookMs} ms`)
  }

  #attempt(body: string): Promise<Attempt> {
    const id = `crm/${createHash('sha256').update(body).digest('hex')}`
    const signature = createHmac('sha256', SECRET).update(body).digest('hex')
    const startedAt = Date.now()
    return new Promise(resolve => {
      const ended = (status: number): void => resolve({ status, id, tookMs: Date.now() - startedAt })
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

/** How often each event id is in the topic, read to the end by kafkajs alone. */
async function countRecords(brokers: readonly string[]): Promise<Map<string, number>> {
  const kafka = rawKafka(brokers)
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(TOPIC)
  await admin.disconnect()
  const left = new Map(
    ends.filter(({ high }) => high !== '0').map(({ partition, high }) => [partition, Number(high)]),
  )
  const counts = new Map<string, number>()
  const consumer = kafka.consumer({ groupId: `chaos-${randomUUID()}`, maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      for (const { key } of batch.messages) counts.set(String(key), (counts.get(String(key)) ?? 0) + 1)
      if (Number(batch.lastOffset()) + 1 >= (left.get(batch.partition) ?? 0)) left.delete(batch.partition)
    },
  })
  const deadline = Date.now() + 120_000
  while (left.size > 0) {
    if (Date.now() > deadline) throw new Error('the topic could not be read to its end')
    await sleep(100)
  }
  await consumer.disconnect()
  return counts
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}

function say(text: string): void {
  console.log(`${(performance.now() / 1_000).toFixed(1).padStart(6)} s  ${text}`)
}

async function brokersDie(cluster: Cluster, load: Load): Promise<void> {
  const until = Date.now() + KILLING_MS
  for (let broker = 0; Date.now() < until; broker = (broker + 1) % 3) {
    say(`broker ${broker} is killed`)
    await cluster.kill(broker)
    const restarted = cluster.restart(broker)
    await sleep(KILL_EVERY_MS)
    await restarted
  }
  await load.recovered('killed brokers')
}

async function brokerHangs(cluster: Cluster, load: Load): Promise<void> {
  say('broker 0 hangs for 12 s')
  cluster.pause(0)
  await sleep(12_000)
  cluster.resume(0)
  await load.recovered('a broker that hung')
}

async function registryAway(cluster: Cluster, load: Load): Promise<void> {
  say('the registry is away for 3 s')
  await cluster.stopRegistry()
  const refusedBefore = load.refused.size
  await sleep(3_000)
  if (load.refused.size > refusedBefore) load.problems.push('the registry was missed')
  await cluster.startRegistry()
}

async function main(): Promise<void> {
  say('three brokers and a registry start')
  const cluster = await startCluster({ brokers: 3 })
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-chaos-'))
  const config = path.join(folder, 'sallyport.yaml')
  writeFileSync(path.join(folder, 'secret'), SECRET)
  writeFileSync(
    config,
    `ingress: { publishTimeout: ${PUBLISH_TIMEOUT_MS}ms }
sources:
  crm:
    scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }
    secrets: ['\${file:${folder}/secret}']
`,
  )
  try {
    const launch = async () => IngressProcess.start({ connection: cluster, config, port: await freePort() })
    let ingress = await launch()
    const load = new Load(ingress.url)
    await load.recovered('the start')

    await registryAway(cluster, load)
    await brokersDie(cluster, load)
    await brokerHangs(cluster, load)

    say('the ingress is killed under load')
    const successor = await launch()
    await ingress.kill()
    load.url = successor.url
    ingress = successor
    await load.recovered('a killed ingress')

    await load.stop()
    const code = await ingress.stop()
    if (code !== 0) load.problems.push(`the ingress ended with ${code}`)
    process.exitCode = report(load, await countRecords(cluster.brokers))
  } finally {
    await cluster.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

function report(load: Load, counts: ReadonlyMap<string, number>): number {
  let lost = 0
  for (const id of load.accepted) if (!counts.has(id)) lost++
  let twice = 0
  let unexplained = 0
  for (const [id, count] of counts) {
    if (count === 1) continue
    twice++
    if (!load.refused.has(id)) unexplained++
  }
  load.took.sort((a, b) => a - b)
  const quantile = (q: number) => load.took[Math.floor(load.took.length * q)]
  const statuses = [...load.statuses].map(
    ([status, count]) => `${status === 0 ? 'broken' : status}: ${count}`,
  )
  console.log(`\nanswers            ${statuses.join(', ')}`)
  console.log(
    `took               p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms, longest ${load.took.at(-1)} ms`,
  )
  console.log(`accepted           ${load.accepted.size}`)
  console.log(`in the topic       ${counts.size}`)
  console.log(`lost               ${lost}`)
  console.log(`twice              ${twice}, of which without a reason to send again: ${unexplained}`)
  const problems = new Map<string, number>()
  for (const text of load.problems) problems.set(text, (problems.get(text) ?? 0) + 1)
  for (const [text, count] of problems) console.log(`problem (${count}×)       ${text}`)
  const good = lost === 0 && unexplained === 0 && problems.size === 0 && load.accepted.size > 0
  console.log(good ? 'ok' : 'FAILED')
  return good ? 0 : 1
}

await main()
process.exit()
