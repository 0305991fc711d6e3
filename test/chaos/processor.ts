/**
 * `npm run test:chaos [-- --short] [--seed N] [--only KIND,…] [--transaction-version 1] [--keep] [--logs FOLDER]`:
 * the processor engine under chaos.
 * `npm run test:soak [-- --seed N] [--transaction-version 1] [--events N] …`: the same with a million
 * events, and a report.
 *
 * start brokers and processes → load, while the schedule's steps happen → wait until all is done → judge
 *
 * Three brokers, three processes, unique events of which a fifth arrives again and a tenth fails over several tiers.
 * What must hold, read from the brokers' logs by code that shares nothing with the product's consumers:
 * - every accepted event id has its terminal effect (its outputs or its dead letter) exactly once, and the one that
 *   its handler's results ask for
 * - no effect of an aborted transaction, and none of an event that nobody sent
 * - every transaction ended, and alike in all its partitions: none is torn
 * - every record below a committed position had a settled claim when the position was committed
 * - no process ends by itself, none ignores SIGTERM, and no partition stands still for two minutes
 * - every fault point of the schedule was passed, so that a process died or froze there, and every other kind of step
 *   did what it is for at least once
 * - but for `--short`: the epochs of some tasks ran out on the way, and their producers went on under new producer ids
 *
 * The seed gives the events, their fates and the schedule; without `--seed` it is drawn and printed. The last line is
 * `accepted A, effects E, lost L, duplicated D, torn T, seed S`. When the schedule is through, random steps follow
 * until enough events are accepted: 20,000, or a million in the soak; `--events N` asks for another number.
 */
import { randomInt } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { KafkaProxy } from '../support/kafka-proxy/kafka-proxy.ts'
import { rawAdmin, rawKafka } from '../support/raw-kafka.ts'
import { RegistryProxy } from '../support/registry-proxy.ts'
import { scriptOptions } from '../support/script-options.ts'
import { NAME } from './processor/agent.ts'
import { BrokerFaults } from './processor/broker-faults.ts'
import { Chaos } from './processor/chaos.ts'
import { Fleet } from './processor/fleet.ts'
import { Load, PARTITIONS } from './processor/load.ts'
import { Redrives } from './processor/redrives.ts'
import { RegistryFaults } from './processor/registry-faults.ts'
import { RequestFaults } from './processor/request-faults.ts'
import { RunFolder } from './processor/run-folder.ts'
import {
  describeStep,
  endlessSteps,
  SESSION_TIMEOUT_MS,
  type Step,
  scheduleOf,
  stepName,
} from './processor/schedule.ts'
import { writeSoakReport } from './processor/soak-report.ts'
import { readStates } from './processor/transaction-state.ts'
import type { Judging } from './processor/transactions.ts'
import { dumpAnswers } from './processor/transactions-report.ts'
import { explainAll, judge } from './processor/verdict.ts'
import { Watch } from './processor/watch.ts'
import { notRunOut, wearOut } from './processor/worn-epochs.ts'

const options = scriptOptions(import.meta.url, {
  short: { type: 'boolean', default: false },
  soak: { type: 'boolean', default: false },
  seed: { type: 'string' },
  /** Only the schedule's steps of these kinds; then no number of events is asked for by default. */
  only: { type: 'string' },
  /** Copies the processes' logs there, whatever comes of the run. */
  logs: { type: 'string' },
  /** How many events must be accepted; default 20,000, or a million in the soak. */
  events: { type: 'string' },
  /** A run that fails leaves everything that it made, and says where; default true with `CI=true`. */
  keep: { type: 'boolean', default: process.env.CI === 'true' },
  /** The cluster's `transaction.version`: with 1 the end of a transaction bumps no epoch. */
  'transaction-version': { type: 'string', default: '2' },
})
const SEED = options.seed === undefined ? randomInt(1, 2 ** 31) : Number(options.seed)
const KEEPS = options.keep
const ONLY = options.only?.split(',')
const SIZE = options.soak
  ? { perSecond: 1_000, acceptedMin: 1_000_000 }
  : options.short
    ? { perSecond: 130, acceptedMin: 20_000 }
    : { perSecond: 80, acceptedMin: 20_000 }
const TRANSACTION_VERSION = transactionVersion(options['transaction-version'])
const JUDGING: Judging = { epochs: 'own', version: TRANSACTION_VERSION }
const ACCEPTED_MIN = Number(options.events ?? (ONLY === undefined ? SIZE.acceptedMin : 1))
/** From the end of one step to the next when the schedule is through, ms. */
const REST_MS = 5_000
/** How many tasks begin with few epochs left; wearing them out takes two minutes. */
const WORN_TASKS = options.short || ONLY !== undefined ? 0 : 3
const COORDINATOR_LOG = '-Dorg.slf4j.simpleLogger.log.kafka.coordinator.transaction=debug'
const AGENT = fileURLToPath(new URL('./processor/agent.ts', import.meta.url))

function isWanted({ kind }: Step): boolean {
  return ONLY?.includes(kind) ?? true
}

async function main(): Promise<number> {
  const steps = scheduleOf(SEED, options.short).filter(isWanted)
  const folder = new RunFolder({
    keeps: KEEPS,
    ...(options.logs === undefined ? {} : { logs: options.logs }),
  })
  // Ending is enough: whatever was started has a guard that ends it with us.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))
  // What the coordinators did tells most of a transaction that ended wrongly.
  if (KEEPS) process.env.JAVA_TOOL_OPTIONS = COORDINATOR_LOG
  say(
    `seed ${SEED}: ${steps.length} steps; three brokers of transaction version ${TRANSACTION_VERSION} and a registry start`,
  )
  const proxy = await KafkaProxy.start(3)
  const cluster = await startCluster({
    brokers: 3,
    moreListeners: proxy.listeners,
    transactionVersion: TRANSACTION_VERSION,
    folder: { path: folder.brokers, onOrphan: folder.onOrphan },
    properties: {
      'group.min.session.timeout.ms': '1000',
      'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000',
    },
  })
  try {
    return await run(cluster, proxy, folder, steps)
  } finally {
    await cluster.stop()
  }
}

async function run(
  cluster: Cluster,
  proxy: KafkaProxy,
  folder: RunFolder,
  steps: readonly Step[],
): Promise<number> {
  const config = path.join(folder.path, 'sallyport.yaml')
  writeFileSync(
    config,
    `topics: { partitions: ${PARTITIONS} }
processing: { sessionTimeout: ${SESSION_TIMEOUT_MS}ms, transactionTimeout: 5s, drainTimeout: 10s, schemaDoubt: 2s, checkpointFolder: checkpoints, checkpointInterval: 2s }
sources: { ${NAME}: { scheme: { header: X-Signature, algorithm: hmac-sha256, encoding: hex }, secrets: ['\${env:NOT_NEEDED_HERE}'] } }
processors: [${AGENT}]
`,
  )
  const load = new Load(cluster, SEED, SIZE.perSecond)
  const targets = path.join(folder.path, 'targets.json')
  const registry = await RegistryProxy.start(cluster.registryUrl)
  const fleet = new Fleet({
    connection: { brokers: cluster.brokers, registryUrl: registry.url },
    config,
    targets,
    folder: folder.processes,
    onOrphan: folder.onOrphan,
  })
  const requests = new RequestFaults(proxy)
  const denials = new RegistryFaults(registry, cluster.registryUrl, load)
  const redrives = new Redrives(cluster, load, folder.path)
  const chaos = new Chaos(
    cluster,
    fleet,
    load,
    new BrokerFaults(cluster, targets),
    requests,
    denials,
    redrives,
    SEED,
  )
  const watch = new Watch(cluster.brokers, load, () =>
    fleet.members.map(member => `    ${member.name}\n${member.tail(12)}`).join('\n'),
  )
  const tasks = Array.from({ length: WORN_TASKS }, (_, task) => `sallyport.${NAME}-${task}`)
  if (tasks.length > 0) say(`the epochs of ${tasks.join(', ')} are worn out`)
  const worn = await wearOut(cluster, tasks)
  // The first process alone creates the topics; the load needs them.
  await (await fleet.add()).joined()
  await load.start()
  watch.start()
  await chaos.fill()
  for (const [i, step] of steps.entries()) {
    say(`${i + 1}/${steps.length} ${describeStep(step)}; ${watch.state()}`)
    await chaos.run(step)
  }
  let stepsRun = steps.length
  for (const step of endlessSteps(SEED)) {
    if (load.accepted.size >= ACCEPTED_MIN) break
    if (!isWanted(step)) continue
    say(`${describeStep(step)}; ${watch.state()} of ${ACCEPTED_MIN}`)
    await chaos.run(step)
    stepsRun++
    await sleep(REST_MS)
  }
  await denials.over
  await load.stop()
  say(`the load ends: ${load.accepted.size} accepted, ${load.duplicates} sent again; ${watch.state()}`)
  await watch.untilDone()
  say(`${watch.state()}; the processes stop`)
  await Promise.all([...fleet.members].map(member => fleet.stop(member)))
  await watch.stop()
  await proxy.stop()
  registry.stop()

  const verdict = await judge(cluster.brokers, load.accepted, await groupOffsets(cluster.brokers), JUDGING)
  const missed = chaos.missed.map(fault => `no process passed ${fault} in time`)
  const unstruck = [...new Set(steps.map(stepName))].filter(name => !chaos.struck.has(name))
  const fresh = notRunOut(worn, worn.size === 0 ? [] : await readStates(cluster.brokers))
  const problems = [
    ...fleet.problems,
    ...watch.problems,
    ...missed,
    ...unstruck.map(name => `no step of the kind “${name}” did what it is for`),
    ...fresh.map(id => `the epochs of ${id} did not run out`),
  ]
  const facts = [
    `tasks whose epochs ran out: ${worn.size - fresh.length}`,
    `steps that struck: ${counted(chaos.struck)}`,
    `requests that were troubled: ${counted(requests.deeds)}`,
    ...verdict.facts,
    `slowest effect: ${watch.slowestMs} ms`,
  ]
  console.log(`\n${facts.join('\n')}\n`)
  for (const problem of problems) console.log(`problem: ${problem}`)
  const explained = explainAll(verdict)
  if (explained !== '') console.log(explained)
  if (verdict.questions.length > 0)
    console.log(dumpAnswers(verdict.questions, await readStates(cluster.brokers), verdict.markers))
  const { effects, lost, duplicated, transactions } = verdict
  const accepted = load.accepted.size
  const clean = problems.length === 0 && verdict.problems.length === 0
  const once = lost.length === 0 && duplicated.length === 0 && effects === accepted
  const result = `accepted ${accepted}, effects ${effects}, lost ${lost.length}, duplicated ${duplicated.length}, torn ${transactions.torn.length}, seed ${SEED}`
  if (options.soak) {
    writeSoakReport(TRANSACTION_VERSION, result, [
      `${load.duplicates} of the events were sent again`,
      `${stepsRun} steps of chaos`,
      ...facts,
      `problems: ${problems.length + verdict.problems.length}`,
    ])
  }
  const good = clean && once && accepted >= ACCEPTED_MIN
  if (!good) folder.tell()
  console.log(result)
  return good ? 0 : 1
}

function counted(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${name} ${count}`).join(', ') || 'none'
}

/** `topic/partition` → the group's committed offset. */
async function groupOffsets(brokers: readonly string[]): Promise<Map<string, number>> {
  const committed = await rawAdmin(rawKafka(brokers), admin =>
    admin.fetchOffsets({ groupId: `sallyport.${NAME}` }),
  )
  return new Map(
    committed.flatMap(({ topic, partitions }) =>
      partitions.map(({ partition, offset }) => [`${topic}/${partition}`, Number(offset)] as const),
    ),
  )
}

function transactionVersion(text: string): 1 | 2 {
  if (text === '1') return 1
  if (text === '2') return 2
  throw new Error(`--transaction-version is 1 or 2, not ${text}`)
}

function say(text: string): void {
  console.log(`${(performance.now() / 1_000).toFixed(1).padStart(6)} s  ${text}`)
}

const code = await main()
process.exit(code)
