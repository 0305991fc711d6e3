/**
 * `npm run bench:ingress [-- --short]`: what a delivery costs, beside what Node itself costs.
 *
 *   bare       ten lines of node:http that read the body and answer (bare-server.ts)
 *   full       the ingress as shipped: verification, required fields, Avro, idempotent acks=all, metrics
 *   full 1 %   the same with OpenTelemetry's SDK, 1 % of the traces sampled and exported
 *
 * The server is pinned to core 0; wrk and the broker have core 1. Rounds are interleaved, figures are medians. CPU
 * time is the server process's own, so a slow broker makes fewer requests but not dearer ones. Then the time from
 * request to answer at 1,000 events a second, and the resident set over five minutes at full load.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startCluster } from '../support/cluster.ts'
import { IngressProcess } from '../support/ingress-process.ts'

const SHORT = process.argv.includes('--short')
const ROUNDS = SHORT ? 2 : 5
const ROUND_S = SHORT ? 5 : 10
const WARM_UP_S = SHORT ? 8 : 15
const CONNECTIONS = [64, 256] as const
const LATENCY_RATE = 1_000
const LATENCY_S = SHORT ? 5 : 30
const SOAK_MINUTES = SHORT ? 0 : 5
const SERVER_CORE = 0
const LOAD_CORE = 1
const SECRET = 'a secret of some length'
const REQUESTS = 2_000
const RESULTS = fileURLToPath(new URL('../../.sallyport/bench-ingress.json', import.meta.url))

const run = promisify(execFile)

interface Contestant {
  readonly name: string
  readonly url: string
  cpuSeconds(): number
  rssMib(): number
  stop(): Promise<unknown>
}

interface Round {
  readonly cpuMicros: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** ~1 KiB of signed ticket updates; the signed time must stay fresh, so they are made anew before each round. */
function writeRequests(file: string): void {
  const lines = Array.from({ length: REQUESTS }, (_, i) => {
    const note = randomBytes(420).toString('hex')
    const ticket = { id: i, subject: 'Printer on fire', note }
    const body = JSON.stringify({
      agent_id: `agent_${i}`,
      status: 'open',
      timestamp: new Date().toISOString(),
      ticket,
    })
    return `${createHmac('sha256', SECRET).update(body).digest('hex')} ${body}`
  })
  writeFileSync(file, lines.join('\n'))
}

async function load(url: string, connections: number, seconds: number, file: string): Promise<string> {
  writeRequests(file)
  const lua = fileURLToPath(new URL('signed-load.lua', import.meta.url))
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', lua, '--latency', url]
  const { stdout } = await run('taskset', ['-c', String(LOAD_CORE), 'wrk', ...args], {
    env: { ...process.env, SIGNED_REQUESTS: file },
  })
  const wrong = /Non-2xx or 3xx responses: (\d+)/.exec(stdout)
  if (wrong !== null) throw new Error(`${url}: ${wrong[1]} answers were not 2xx`)
  return stdout
}

async function round(contestant: Contestant, connections: number, file: string): Promise<Round> {
  const before = contestant.cpuSeconds()
  const text = await load(contestant.url, connections, ROUND_S, file)
  const requests = Number(/(\d+) requests in/.exec(text)?.[1])
  return {
    cpuMicros: ((contestant.cpuSeconds() - before) / requests) * 1e6,
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
    p50Ms: milliseconds(/50%\s+(\S+)/.exec(text)?.[1]),
    p99Ms: milliseconds(/99%\s+(\S+)/.exec(text)?.[1]),
  }
}

function milliseconds(text = ''): number {
  const value = Number.parseFloat(text)
  if (text.endsWith('us')) return value / 1_000
  return text.endsWith('ms') ? value : value * 1_000
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

async function startBare(): Promise<Contestant> {
  const port = await freePort()
  const file = fileURLToPath(new URL('bare-server.ts', import.meta.url))
  const args = ['-c', String(SERVER_CORE), process.execPath, file, String(port)]
  const child: ChildProcess = spawn('taskset', args, { stdio: 'inherit' })
  const url = `http://127.0.0.1:${port}`
  while (!(await fetch(url).catch(() => undefined))) await sleep(50)
  const proc = (name: string) => readFileSync(`/proc/${child.pid}/${name}`, 'utf8')
  return {
    name: 'bare',
    url,
    cpuSeconds() {
      const fields = proc('stat').split(') ')[1]?.split(' ') ?? []
      return (Number(fields[11]) + Number(fields[12])) / 100
    },
    rssMib: () => Math.round(Number(/VmRSS:\s+(\d+)/.exec(proc('status'))?.[1]) / 1_024),
    async stop() {
      child.kill()
      await once(child, 'exit')
    },
  }
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

/** Sends at a fixed rate, whatever the answers do, and gives the quantiles of the time to the answer. */
async function latencyAt(
  url: string,
  perSecond: number,
  seconds: number,
): Promise<{ p50Ms: number; p99Ms: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const took: number[] = []
  const pending: Promise<void>[] = []
  const startedAt = performance.now()
  for (let sent = 0; sent < perSecond * seconds; ) {
    const due = Math.min(
      perSecond * seconds,
      Math.floor(((performance.now() - startedAt) / 1_000) * perSecond),
    )
    for (; sent < due; sent++) pending.push(timed(url, agent, took))
    await sleep(1)
  }
  await Promise.all(pending)
  agent.destroy()
  const sorted = took.slice(perSecond).sort((a, b) => a - b)
  const quantile = (q: number) => sorted[Math.floor(sorted.length * q)] as number
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99) }
}

function timed(url: string, agent: Agent, took: number[]): Promise<void> {
  const note = randomBytes(420).toString('hex')
  const body = JSON.stringify({
    agent_id: 'agent_1',
    status: 'open',
    timestamp: new Date().toISOString(),
    note,
  })
  const headers = { 'X-Webhook-Signature': createHmac('sha256', SECRET).update(body).digest('hex') }
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    const req = request(`${url}/webhooks/crm`, { method: 'POST', agent, headers }, res => {
      res.resume()
      res.on('end', () => {
        took.push(performance.now() - startedAt)
        if (res.statusCode === 200) resolve()
        else reject(new Error(`${res.statusCode} at ${LATENCY_RATE} events a second`))
      })
    })
    req.on('error', reject)
    req.end(body)
  })
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
  const launch = async (name: string, env: Record<string, string>): Promise<Contestant> => {
    const started = await IngressProcess.start({
      connection: cluster,
      config,
      port: await freePort(),
      core: SERVER_CORE,
      env: { LOG_LEVEL: 'warn', ...env },
    })
    return {
      name,
      url: started.url,
      cpuSeconds: () => started.cpuSeconds(),
      rssMib: () => started.rssMib(),
      stop: () => started.stop(),
    }
  }
  const contestants = [
    await startBare(),
    await launch('full', {}),
    await launch('full 1 %', {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_TRACES_SAMPLER: 'traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.01',
    }),
  ]
  try {
    const results = await compare(contestants, file)
    const [bare, full] = contestants as [Contestant, Contestant, Contestant]
    const latency = await latencyAt(full.url, LATENCY_RATE, LATENCY_S)
    console.log(
      `\nat ${LATENCY_RATE} events/s  p50 ${latency.p50Ms.toFixed(1)} ms, p99 ${latency.p99Ms.toFixed(1)} ms`,
    )
    const soak = await soaked(full, file)
    const ratio = ratioOf(results, full.name, bare.name)
    const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`
    mkdirSync(path.dirname(RESULTS), { recursive: true })
    writeFileSync(RESULTS, JSON.stringify({ machine, results, latency, soak, ratio }, null, 2))
    console.log(`\n${machine}; also in ${path.relative(process.cwd(), RESULTS)}`)
    console.log(`cpu full/bare = ${ratio.toFixed(2)}`)
  } finally {
    for (const contestant of contestants) await contestant.stop()
    collector.close()
    collector.closeAllConnections()
    await cluster.stop()
    rmSync(folder, { recursive: true, force: true })
  }
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
        rounds.set(key, [...(rounds.get(key) ?? []), await round(contestant, connections, file)])
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

/** The worse of the two numbers of connections. */
function ratioOf(results: readonly Result[], full: string, bare: string): number {
  const cost = (name: string, connections: number) =>
    results.find(each => each.name === name && each.connections === connections)?.cpuMicros ?? Number.NaN
  return Math.max(...CONNECTIONS.map(connections => cost(full, connections) / cost(bare, connections)))
}

async function soaked(full: Contestant, file: string): Promise<number[]> {
  const rss: number[] = []
  for (let minute = 0; minute < SOAK_MINUTES; minute++) {
    await load(full.url, 256, 60, file)
    rss.push(full.rssMib())
  }
  if (rss.length > 0) console.log(`RSS at full load, MiB after each minute: ${rss.join(' ')}`)
  return rss
}

await main()
process.exit()
