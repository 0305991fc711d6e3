/**
 * `npm run bench:ingress [-- --short] [--only cost|memory]`: what a delivery costs, beside what Node itself costs.
 *
 *   bare       ten lines of node:http that read the body and answer (ingress/bare-server.ts)
 *   full       the ingress as shipped: verification, required fields, Avro, idempotent acks=all, metrics
 *   full 1 %   the same with OpenTelemetry's SDK, 1 % of the traces sampled and exported
 *
 * The server is pinned to core 0 and wrk to core 1; the broker takes what is left of both. Rounds are interleaved,
 * figures are medians. CPU time is the server process's own, so a slow broker makes fewer requests but not dearer
 * ones; other work on the machine makes all of them dearer, and the ratio worse. Then the time from request to answer
 * at 1,000 events a second, and the resident set over five minutes at full load (`--short`: over
 * half a minute). `--only cost` leaves the resident set out, `--only memory` everything else.
 */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startCluster } from '../support/cluster.ts'
import { scriptOptions } from '../support/script-options.ts'
import { type Contestant, startBare, startIngress } from './ingress/contestants.ts'
import { latencyAt, load, type Round, round, SECRET } from './ingress/load.ts'

const { short: SHORT, only: ONLY } = scriptOptions(import.meta.url, {
  short: { type: 'boolean', default: false },
  only: { type: 'string' },
})
if (ONLY !== undefined && ONLY !== 'cost' && ONLY !== 'memory') throw new Error('--only takes cost or memory')
const ROUNDS = SHORT ? 2 : 5
const ROUND_S = SHORT ? 5 : 10
const WARM_UP_S = SHORT ? 8 : 15
const CONNECTIONS = [64, 256] as const
const LATENCY_RATE = 1_000
const LATENCY_S = SHORT ? 5 : 30
const SOAK_PARTS = SHORT ? 3 : 10
const SOAK_PART_S = SHORT ? 10 : 30
const BARE = 'bare'
const FULL = 'full'
const SAMPLED = 'full 1 %'
const RESULTS = fileURLToPath(new URL('../../.sallyport/bench-ingress.json', import.meta.url))

const run = promisify(execFile)

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}

/** Somewhere for spans to go. */
async function startCollector(): Promise<Server> {
  const server = createServer((req, res) => {
    req.resume()
    req.on('end', () => res.writeHead(200, { 'content-type': 'application/json' }).end('{}'))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function row(cells: readonly (string | number)[]): string {
  return cells.map((cell, i) => (i === 0 ? String(cell).padEnd(10) : String(cell).padStart(13))).join('')
}

async function main(): Promise<void> {
  await run('wrk', ['-v']).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new Error('the bench needs wrk: apt-get install wrk')
  })
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-'))
  const file = path.join(folder, 'requests')
  const config = path.join(folder, 'sallyport.yaml')
  writeFileSync(path.join(folder, 'secret'), SECRET)
  writeFileSync(
    config,
    `sources:
  crm:
    scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }
    secrets: ['\${file:${folder}/secret}']
    timestamp: '$.timestamp'
    required: ['$.agent_id', '$.status']
    type: '$.status'
`,
  )
  const cluster = await startCluster({ brokers: 1 })
  const collector = await startCollector()
  const { port } = collector.address() as AddressInfo
  const contestants: Contestant[] = []
  try {
    const full = await startIngress(FULL, cluster, config, {})
    contestants.push(full)
    const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`
    const date = new Date().toISOString().slice(0, 10)
    const report: Report = { date, machine, short: SHORT }
    if (ONLY !== 'memory') {
      const sampled = await startIngress(SAMPLED, cluster, config, {
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
        OTEL_TRACES_SAMPLER: 'traceidratio',
        OTEL_TRACES_SAMPLER_ARG: '0.01',
      })
      contestants.push(sampled, await startBare(BARE))
      report.results = await compare(contestants, file)
      report.ratio = ratioOf(report.results, FULL)
      report.sampledRatio = ratioOf(report.results, SAMPLED)
      report.latency = await latencyAt(full.url, LATENCY_RATE, LATENCY_S)
    }
    if (ONLY !== 'cost') report.rssMib = await soaked(full, file)
    mkdirSync(path.dirname(RESULTS), { recursive: true })
    writeFileSync(RESULTS, JSON.stringify(report, null, 2))
    conclude(report)
  } finally {
    for (const contestant of contestants) await contestant.stop()
    collector.close()
    collector.closeAllConnections()
    await cluster.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Report {
  readonly date: string
  readonly machine: string
  readonly short: boolean
  results?: readonly Result[]
  /** CPU of the ingress by that of bare Node. */
  ratio?: number
  sampledRatio?: number
  latency?: { readonly p50Ms: number; readonly p99Ms: number }
  rssMib?: readonly number[]
}

function conclude({ date, machine, ratio, sampledRatio, latency, rssMib }: Report): void {
  console.log()
  if (latency !== undefined) {
    const { p50Ms, p99Ms } = latency
    console.log(`at ${LATENCY_RATE} events/s: p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`)
  }
  if (rssMib !== undefined) {
    console.log(`RSS at full load, MiB after each ${SOAK_PART_S} s: ${rssMib.join(' ')}`)
  }
  console.log(`${date}, ${machine}; also in ${path.relative(process.cwd(), RESULTS)}`)
  if (sampledRatio !== undefined) console.log(`cpu ${SAMPLED}/bare = ${sampledRatio.toFixed(2)}`)
  if (ratio !== undefined) console.log(`cpu ${FULL}/bare = ${ratio.toFixed(2)}`)
}

interface Result extends Round {
  readonly name: string
  readonly connections: number
}

async function compare(contestants: readonly Contestant[], file: string): Promise<Result[]> {
  for (const { url } of contestants) await load(url, 64, WARM_UP_S, file)
  const rounds = new Map<string, Round[]>()
  for (let i = 0; i < ROUNDS; i++) {
    for (const connections of CONNECTIONS) {
      for (const contestant of contestants) {
        const key = `${contestant.name}|${connections}`
        rounds.set(key, [...(rounds.get(key) ?? []), await round(contestant, connections, ROUND_S, file)])
      }
    }
  }
  console.log(row(['', 'connections', 'CPU µs/event', 'events/s', 'p50 ms', 'p99 ms']))
  return [...rounds].map(([key, all]) => {
    const [name, connections] = key.split('|') as [string, string]
    const of = (part: keyof Round) => median(all.map(each => each[part]))
    const result = {
      name,
      connections: Number(connections),
      cpuMicros: of('cpuMicros'),
      perSecond: of('perSecond'),
      p50Ms: of('p50Ms'),
      p99Ms: of('p99Ms'),
    }
    const { cpuMicros, perSecond, p50Ms, p99Ms } = result
    console.log(
      row([
        name,
        connections,
        cpuMicros.toFixed(1),
        Math.round(perSecond),
        p50Ms.toFixed(1),
        p99Ms.toFixed(1),
      ]),
    )
    return result
  })
}

/** What one of them costs beside bare Node, at the number of connections where that is worse. */
function ratioOf(results: readonly Result[], contestant: string): number {
  const cost = (name: string, connections: number) =>
    results.find(each => each.name === name && each.connections === connections)?.cpuMicros ?? Number.NaN
  return Math.max(...CONNECTIONS.map(connections => cost(contestant, connections) / cost(BARE, connections)))
}

async function soaked(full: Contestant, file: string): Promise<number[]> {
  const rss: number[] = []
  for (let part = 0; part < SOAK_PARTS; part++) {
    await load(full.url, 256, SOAK_PART_S, file)
    rss.push(full.rssMib())
  }
  return rss
}

await main()
process.exit()
