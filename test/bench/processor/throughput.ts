/**
 * Events per second of one process that works off a backlog: from the moment that a tenth is done (it is warm then)
 * to nine tenths. How far it is, its group's committed offsets tell; CPU time is the process's own.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type kafkajs from 'kafkajs'
import { rawKafka } from '../../support/raw-kafka.ts'
import type { Site } from './site.ts'
import { UnderTest } from './under-test.ts'

export type ContestantName = 'a' | 'b' | 'c' | 'd'

interface Contestant {
  readonly label: string
  /** Starts it as the only member of a group that has not read anything, whose name is given to `start`. */
  start(site: Site, name: string): Promise<UnderTest>
  groupId(name: string): string
}

/** How long d's handlers wait. */
export const WAIT_MS = 10

const engineGroup = (name: string) => `sallyport.${name}`

export const CONTESTANTS: Readonly<Record<ContestantName, Contestant>> = {
  a: {
    label: 'kafkajs, counts',
    start: (site, name) => UnderTest.plain(site, 'count', name),
    groupId: name => name,
  },
  b: {
    label: 'kafkajs, at least once',
    start: (site, name) => UnderTest.plain(site, 'at-least-once', name),
    groupId: name => name,
  },
  c: {
    label: 'engine, emits',
    start: (site, name) => UnderTest.engine(site, site.config(0), name),
    groupId: engineGroup,
  },
  d: {
    label: 'engine, waits 10 ms, emits',
    start: (site, name) => UnderTest.engine(site, site.config(WAIT_MS), name),
    groupId: engineGroup,
  },
}

export interface Throughput {
  readonly perSecond: number
  readonly cpuMicros: number
}

const POLL_MS = 50
const FROM = 0.1
const TO = 0.9
const TIMEOUT_MS = 180_000

interface Sample {
  readonly atMs: number
  readonly done: number
  readonly cpuSeconds: number
}

export async function throughputOf(site: Site, name: ContestantName): Promise<Throughput> {
  const contestant = CONTESTANTS[name]
  const { events } = site
  const groupName = site.newName()
  const admin = rawKafka(site.brokers).admin()
  await admin.connect()
  const process = await contestant.start(site, groupName)
  try {
    const samples: Sample[] = []
    const deadline = performance.now() + TIMEOUT_MS
    for (;;) {
      process.check()
      const done = await committed(admin, contestant.groupId(groupName))
      samples.push({ atMs: performance.now(), done, cpuSeconds: process.cpuSeconds() })
      if (done >= events * TO) return between(samples, events)
      if (performance.now() > deadline) throw new Error(`${contestant.label}: ${done} of ${events} events`)
      await sleep(POLL_MS)
    }
  } finally {
    await process.stop()
    await admin.disconnect()
  }
}

function between(samples: readonly Sample[], events: number): Throughput {
  const first = samples.find(({ done }) => done >= events * FROM) as Sample
  const last = samples.at(-1) as Sample
  const done = last.done - first.done
  return {
    perSecond: (done / (last.atMs - first.atMs)) * 1_000,
    cpuMicros: ((last.cpuSeconds - first.cpuSeconds) / done) * 1e6,
  }
}

async function committed(admin: kafkajs.Admin, groupId: string): Promise<number> {
  const [topic] = await admin.fetchOffsets({ groupId, topics: ['sallyport.events'] })
  return (topic?.partitions ?? []).reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0)
}
