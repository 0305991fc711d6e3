/**
 * `npm run bench:processor [-- --short] [--only a,b,c,d,latency,takeover,claims]`: what an event costs the engine,
 * beside what it costs kafkajs alone.
 *
 *   a   a bare kafkajs eachBatch consumer that only counts
 *   b   kafkajs at least once: one output record per event, produced per batch, then the commit
 *   c   the engine as shipped, with handlers that do nothing but emit one record
 *   d   the engine with handlers that wait 10 ms and then emit, 1,000 at once
 *
 * With c's handlers also: from accept to the handler's start and to the visible output at 500 events a second, where
 * accept is the hand-over to the ingress's publisher; and how long it takes until another process has taken over from
 * one that was killed. At last what claims cost (test/bench/claims.ts): memory and CPU for each, and restores.
 *
 * Every process under test runs on core 0. For a to d that core is its own: the broker, the registry and this program
 * share core 1. For the others these have both. Rounds are interleaved, figures are medians.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { startCluster } from '../support/cluster.ts'
import { scriptOptions } from '../support/script-options.ts'
import { restoreCosts } from './claims/restore.ts'
import { storeCosts } from './claims/store.ts'
import { judge, type Results } from './processor/goals.ts'
import { latencyAt } from './processor/latency.ts'
import { Site } from './processor/site.ts'
import { takeoverMs } from './processor/takeover.ts'
import { CONTESTANTS, type ContestantName, type Throughput, throughputOf } from './processor/throughput.ts'
import { OTHERS_CORE, PROCESS_CORE, pin } from './processor/under-test.ts'

const options = scriptOptions(import.meta.url, { short: { type: 'boolean' }, only: { type: 'string' } })
const SHORT = options.short === true
const ROUNDS = SHORT ? 2 : 5
const EVENTS = SHORT ? 40_000 : 200_000
const LATENCY_RATE = 500
const LATENCY_S = SHORT ? 10 : 30
const TAKEOVERS = SHORT ? 1 : 3
const STORED_CLAIMS = SHORT ? [10_000, 1_000_000] : [10_000, 100_000, 1_000_000, 5_000_000]
const RESTORED_CLAIMS = SHORT ? [10_000, 100_000] : [100_000, 1_000_000, 5_000_000]
const RESULTS = fileURLToPath(new URL('../../.sallyport/bench-processor.json', import.meta.url))

function wanted(part: string): boolean {
  return options.only === undefined || options.only.split(',').includes(part)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}

/** Runs a part on a broker of its own, on these cores. */
async function onSite(cores: readonly number[], part: (site: Site) => Promise<void>): Promise<void> {
  const site = await Site.open(...cores)
  try {
    await part(site)
  } finally {
    await site.close()
  }
}

async function compare(site: Site, names: readonly ContestantName[], results: Results): Promise<void> {
  await site.append(EVENTS)
  const rounds = new Map<ContestantName, Throughput[]>(names.map(name => [name, []]))
  for (let i = 0; i < ROUNDS; i++) {
    for (const [name, all] of rounds) {
      const measured = await throughputOf(site, name)
      all.push(measured)
      say(`round ${i + 1} of ${ROUNDS}, ${name}: ${Math.round(measured.perSecond)} events/s`)
    }
  }
  console.log(`${''.padEnd(32)}${'events/s'.padStart(10)}${'CPU µs/event'.padStart(14)}   rounds`)
  for (const [name, all] of rounds) {
    const perSecond = median(all.map(each => each.perSecond))
    const cpuMicros = median(all.map(each => each.cpuMicros))
    results[name] = { perSecond, cpuMicros }
    const each = all.map(round => Math.round(round.perSecond)).join(' ')
    const label = `${name}  ${CONTESTANTS[name].label}`.padEnd(32)
    console.log(
      `${label}${String(Math.round(perSecond)).padStart(10)}${cpuMicros.toFixed(1).padStart(14)}   ${each}`,
    )
  }
}

async function respond(site: Site, results: Results): Promise<void> {
  if (wanted('latency')) {
    say(`latency: ${LATENCY_RATE} events/s for ${LATENCY_S} s`)
    results.latency = await latencyAt(site, LATENCY_RATE, LATENCY_S)
  }
  if (!wanted('takeover')) return
  const all: number[] = []
  for (let i = 0; i < TAKEOVERS; i++) {
    say(`takeover ${i + 1} of ${TAKEOVERS}`)
    all.push(await takeoverMs(site))
  }
  results.takeoverMs = median(all)
}

async function main(): Promise<void> {
  const results: Results = {}
  if (wanted('latency') || wanted('takeover')) {
    await onSite([PROCESS_CORE, OTHERS_CORE], site => respond(site, results))
  }
  const names = (Object.keys(CONTESTANTS) as ContestantName[]).filter(wanted)
  if (names.length > 0) await onSite([OTHERS_CORE], site => compare(site, names, results))
  if (wanted('claims')) results.claims = await measureClaims()
  report(results)
}

/** Progress; the figures come at the end. */
function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** A topic set of its own, on a broker of its own, with both cores for owner and broker. */
async function measureClaims(): Promise<NonNullable<Results['claims']>> {
  pin(PROCESS_CORE, OTHERS_CORE)
  say('claims: memory and CPU, then restores')
  const store = storeCosts(STORED_CLAIMS)
  const cluster = await startCluster({ brokers: 1 })
  try {
    return { store, restore: await restoreCosts(cluster, RESTORED_CLAIMS) }
  } finally {
    await cluster.stop()
  }
}

function report(results: Results): void {
  const goals = judge(results)
  console.log(`\n${''.padEnd(56)}${'measured'.padStart(12)}${'goal'.padStart(14)}`)
  for (const { what, measured, goal, reached } of goals) {
    console.log(
      `${what.padEnd(56)}${measured.padStart(12)}${goal.padStart(14)}   ${reached ? 'reached' : 'missed'}`,
    )
  }
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`
  mkdirSync(path.dirname(RESULTS), { recursive: true })
  writeFileSync(RESULTS, JSON.stringify({ machine, events: EVENTS, rounds: ROUNDS, results, goals }, null, 2))
  console.log(`\n${machine}; also in ${path.relative(process.cwd(), RESULTS)}`)
  if (results.b !== undefined && results.c !== undefined) {
    console.log(`throughput engine/at-least-once = ${(results.c.perSecond / results.b.perSecond).toFixed(2)}`)
  }
}

await main()
process.exit()
