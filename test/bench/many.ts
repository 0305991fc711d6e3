/**
 * `npm run bench:many [-- --partitions 12,100] [--idle]`: what ten processors in one process cost, with a broker of their own.
 *
 * start → all partitions acquired → idle → 1,000 events a second, each for one of the processors → the last one handled
 *
 * With `--idle` it ends before the load. Everything shares the machine's cores: figures of a busy machine are worse.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startCluster } from '../support/cluster.ts'
import { eventOf, Topics } from '../support/events.ts'
import { scriptOptions } from '../support/script-options.ts'
import type { Seen } from './many/processors.ts'

const options = scriptOptions(import.meta.url, {
  partitions: { type: 'string', default: '12,100' },
  idle: { type: 'boolean', default: false },
})
const PROCESSORS = 10
const ACQUIRE_MS_MAX = 180_000
/** After the acquisition, before idling is measured, ms. */
const SETTLE_MS = 10_000
const IDLE_MS = 20_000
const PER_SECOND = 1_000
const LOAD_S = 20
const BATCH_MS = 100
const HANDLE_MS_MAX = 60_000

async function measure(partitions: number): Promise<void> {
  const cluster = await startCluster({ brokers: 1 })
  const topics = new Topics(cluster, partitions)
  const startedAt = performance.now()
  const child = fork(
    fileURLToPath(new URL('./many/processors.ts', import.meta.url)),
    [cluster.brokers.join(','), cluster.registryUrl, String(PROCESSORS), String(partitions)],
    { execArgv: ['--no-warnings', ...(process.env.BENCH_NODE_OPTIONS?.split(' ') ?? [])] },
  )
  try {
    const process = new Process(child)
    await process.until(({ acquired }) => acquired === PROCESSORS * partitions, ACQUIRE_MS_MAX)
    report(partitions, 'all acquired after', (performance.now() - startedAt) / 1_000, 's')
    report(partitions, 'CPU until then', process.seen.cpuMs / 1_000, 's')
    await sleep(SETTLE_MS)
    const before = process.seen
    await sleep(IDLE_MS)
    report(partitions, 'idle', (100 * (process.seen.cpuMs - before.cpuMs)) / IDLE_MS, '% of a core')
    report(partitions, 'RSS, idle', process.seen.rssMiB, 'MiB')
    if (!options.idle) await load(partitions, topics, process)
    report(partitions, 'connections that produce', process.seen.connections, '')
    report(partitions, 'failed stays', process.seen.failures, '')
  } finally {
    child.kill('SIGKILL')
    await topics.close()
    await cluster.stop()
  }
}

async function load(partitions: number, topics: Topics, process: Process): Promise<void> {
  const { cpuMs } = process.seen
  const startedAt = performance.now()
  const perBatch = (PER_SECOND * BATCH_MS) / 1_000
  const count = PER_SECOND * LOAD_S
  for (let sent = 0; sent < count; sent += perBatch) {
    await topics.append(
      Array.from({ length: perBatch }, (_, i) => eventOf(`source-${(sent + i) % PROCESSORS}`, { sent })),
    )
    await sleep(Math.max(0, startedAt + ((sent + perBatch) * 1_000) / PER_SECOND - performance.now()))
  }
  const tookS = (performance.now() - startedAt) / 1_000
  report(partitions, 'appended', count / tookS, 'events/s')
  await process.until(({ handled }) => handled >= count, HANDLE_MS_MAX)
  report(partitions, 'the last one handled', (performance.now() - startedAt) / 1_000 - tookS, 's later')
  report(
    partitions,
    'loaded',
    (100 * (process.seen.cpuMs - cpuMs)) / (performance.now() - startedAt),
    '% of a core',
  )
  report(partitions, 'RSS, loaded', process.seen.rssMiB, 'MiB')
}

/** The process with the processors, as it said last how it stands. */
class Process {
  seen: Seen = { acquired: 0, handled: 0, cpuMs: 0, rssMiB: 0, connections: 0, failures: 0 }

  #hasEnded = false

  constructor(child: ChildProcess) {
    child.once('exit', () => {
      this.#hasEnded = true
    })
    child.on('message', message => {
      this.seen = message as Seen
    })
  }

  async until(holds: (seen: Seen) => boolean, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!holds(this.seen)) {
      if (this.#hasEnded || performance.now() > deadline)
        throw new Error(`not within ${timeoutMs / 1_000} s: ${JSON.stringify(this.seen)}`)
      await sleep(20)
    }
  }
}

function report(partitions: number, what: string, value: number, unit: string): void {
  console.log(
    `${PROCESSORS} × ${String(partitions).padEnd(5)}${what.padEnd(28)}${value.toFixed(1).padStart(9)} ${unit}`,
  )
}

console.log(`${cpus().length} × ${cpus()[0]?.model}`)
for (const partitions of options.partitions.split(',').map(Number)) await measure(partitions)
