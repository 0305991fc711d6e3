/** Where the bench runs: one local broker with a registry, the topics, and events of about 1 KiB. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Event } from '@sallyport/core/event'
import { createLog } from '@sallyport/core/log'
import { ensureProvision, sharedProvision } from '@sallyport/core/provision'
import { loadSettings, topicPlan } from '@sallyport/core/settings'
import { processorTopicSpecs } from '@sallyport/core/topics'
import { type Cluster, startCluster } from '../../support/cluster.ts'
import { eventOf, Topics } from '../../support/events.ts'
import { OUTPUT } from './names.ts'
import { pin } from './under-test.ts'

export const PARTITIONS = 12
export const SOURCE = 'bench'

/** Handlers at once. */
export const CONCURRENCY = 1_000
export const SESSION_TIMEOUT_MS = 10_000
const AGENT = fileURLToPath(new URL('./agent.ts', import.meta.url))
/** Events per append: their batch of one partition stays below 1 MiB. */
const APPEND_EVENTS = 6_000

export class Site {
  readonly brokers: readonly string[]
  readonly registryUrl: string
  readonly topics: Topics
  readonly #cluster: Cluster
  readonly #folder: string
  /** Events in the topic. */
  events = 0
  #count = 0

  private constructor(cluster: Cluster, folder: string) {
    this.#cluster = cluster
    this.#folder = folder
    this.brokers = cluster.brokers
    this.registryUrl = cluster.registryUrl
    this.topics = new Topics(cluster, PARTITIONS)
  }

  /** Starts the broker; this process and the broker, which inherits it, run on `cores` from now on. */
  static async open(...cores: readonly number[]): Promise<Site> {
    pin(...cores)
    const site = new Site(
      await startCluster({ brokers: 1 }),
      mkdtempSync(path.join(tmpdir(), 'sallyport-bench-')),
    )
    const settings = loadSettings(site.config(0), {})
    const shared = sharedProvision(settings)
    const outputs = processorTopicSpecs(topicPlan(settings), SOURCE, [], [OUTPUT]).filter(
      ({ name }) => name === OUTPUT,
    )
    await ensureProvision({ ...shared, topics: [...shared.topics, ...outputs] }, site, createLog('bench'))
    return site
  }

  /** A settings file with the bench's processor. */
  config(waitMs: number): string {
    const file = path.join(this.#folder, `${waitMs}.yaml`)
    writeFileSync(
      file,
      `topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: ${SESSION_TIMEOUT_MS}ms }
sources:
  ${SOURCE}:
    scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }
    secrets: ['\${env:BENCH_SECRET}']
processors:
  - module: ${AGENT}
    concurrency: ${CONCURRENCY}
    settings: { waitMs: ${waitMs} }
`,
    )
    return file
  }

  /** A name that no processor or group here has had. */
  newName(): string {
    return `bench-${++this.#count}`
  }

  async append(count: number): Promise<void> {
    this.events += count
    for (let left = count; left > 0; left -= APPEND_EVENTS) {
      await this.topics.append(Array.from({ length: Math.min(left, APPEND_EVENTS) }, newEvent))
    }
  }

  async close(): Promise<void> {
    await this.topics.close()
    await this.#cluster.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** A ticket update of about 1 KiB. */
export function newEvent(): Event {
  const note = randomBytes(420).toString('hex')
  return eventOf(SOURCE, {
    agent_id: 'agent_1',
    status: 'open',
    ticket: { subject: 'Printer on fire', note },
  })
}
