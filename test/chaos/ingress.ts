/**
 * `npm run test:chaos:ingress [-- --short]`: the ingress among failing brokers (P6, C1).
 *
 * Three brokers, 64 senders through the real ingress, and faults one after the other. What must hold, checked by a
 * consumer that shares no code with the product:
 * - every event that was answered 2xx is in the topic
 * - an event that is there twice was answered by something else than 2xx at least once (503, time-out, broken
 *   connection): then its sender had to send again
 * - what was refused was refused with 503 and Retry-After within the deadline
 * - after every fault the ingress accepts again by itself
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { IngressProcess } from '../support/ingress-process.ts'
import { rawKafka } from '../support/raw-kafka.ts'
import { scriptOptions } from '../support/script-options.ts'
import { ledAgain, ledBy, slowest } from './ingress/failover.ts'
import { Load, PUBLISH_TIMEOUT_MS, SECRET } from './ingress/load.ts'
import { SmallDisk } from './ingress/small-disk.ts'

const { short: SHORT } = scriptOptions(import.meta.url, { short: { type: 'boolean', default: false } })
const KILL_EVERY_MS = 8_000
const KILLING_MS = SHORT ? 24_000 : 60_000
const DISK_FULL_MS = 8_000
const TOPIC = 'sallyport.events'

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
  const deaths: { broker: number; led: ReadonlySet<number>; at: number; failoverMs: Promise<number> }[] = []
  const until = Date.now() + KILLING_MS
  for (let broker = 1; Date.now() < until; broker = (broker + 1) % 3) {
    const led = await ledBy(cluster, broker)
    say(`broker ${broker} is killed; it leads ${led.size} partitions`)
    const at = Date.now()
    await cluster.kill(broker)
    const restarted = cluster.restart(broker)
    deaths.push({ broker, led, at, failoverMs: ledAgain(cluster, broker, led, restarted) })
    await sleep(KILL_EVERY_MS)
    await restarted
  }
  await load.recovered('killed brokers')
  for (const [i, { broker, led, at, failoverMs }] of deaths.entries()) {
    const { own, others } = slowest(load, at, deaths[i + 1]?.at ?? Date.now(), led)
    say(
      `broker ${broker}'s partitions were led again after ${await failoverMs} ms; slowest answer of these ${own} ms, of others ${others} ms`,
    )
  }
}

/** The broker lives on without that disk: it answers KAFKA_STORAGE_ERROR, and others come to lead. */
async function diskFills(cluster: Cluster, load: Load, disk: SmallDisk | undefined): Promise<void> {
  if (disk === undefined) {
    say('a full disk is left out: mounting one takes root')
    return
  }
  say('a disk of broker 0 is full')
  const led = await ledBy(cluster, 0)
  const filledAt = Date.now()
  await disk.fill()
  await sleep(DISK_FULL_MS)
  await load.recovered('a full disk')
  const left = await ledBy(cluster, 0)
  const lost = led.difference(left)
  if (lost.size === 0) load.problems.push('the full disk went unnoticed')
  const { own, others } = slowest(load, filledAt, Date.now(), lost)
  say(
    `its ${lost.size} partitions on it have other leaders; slowest answer of these ${own} ms, of others ${others} ms`,
  )
  await disk.free()
  await cluster.restart(0)
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
  const disk = await SmallDisk.mount()
  const cluster = await startCluster({
    brokers: 3,
    ...(disk === undefined ? {} : { moreFolders: [[disk.folder]] }),
  })
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
    // While every broker leads its share: one that came back leads nothing for minutes.
    await diskFills(cluster, load, disk)
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
    await disk?.unmount()
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
  const took = load.attempts.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
  const quantile = (q: number) => took[Math.floor(took.length * q)]
  const byStatus = Map.groupBy(load.attempts, ({ status }) => status)
  const statuses = [...byStatus].map(
    ([status, { length }]) => `${status === 0 ? 'broken' : status}: ${length}`,
  )
  console.log(`\nanswers            ${statuses.join(', ')}`)
  console.log(
    `took               p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms, longest ${took.at(-1)} ms`,
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
