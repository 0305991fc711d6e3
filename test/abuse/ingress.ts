/**
 * `npm run test:abuse [-- --short] [--only NAME] [--through direct|haproxy]`: strangers who want to stop the ingress.
 *
 * The real command with default settings and a real broker, directly and behind the HAProxy that ships. Each attack
 * lasts for 60 s (`--short`: 6 s) while a hundred genuine deliveries a second go on, from another address. What must
 * hold of each:
 * - every genuine delivery is answered 200, and 99 of 100 within a second
 * - the memory of the ingress stays within what the settings say (see `bounds`)
 * - two seconds after the end all is as before, and after the longest deadline no socket of the attack is left
 *
 * Beforehand HAProxy shows what it holds off itself.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from 'sallyport/broker/ports'
import { startCluster } from '../support/cluster.ts'
import { IngressProcess } from '../support/ingress-process.ts'
import { scriptOptions } from '../support/script-options.ts'
import { ATTACKS, type Attack, launch } from './ingress/attacks.ts'
import { GenuineSenders, SECRET } from './ingress/genuine.ts'
import { Haproxy } from './ingress/haproxy.ts'
import { heldOff } from './ingress/held-off.ts'

const {
  short: SHORT,
  only: ONLY,
  through: THROUGH,
} = scriptOptions(import.meta.url, {
  short: { type: 'boolean', default: false },
  only: { type: 'string' },
  through: { type: 'string' },
})
const ATTACK_MS = SHORT ? 6_000 : 60_000
const RECOVERY_MS = 2_000
const AFTER_MS = SHORT ? 500 : 2_000
const SETTLE_MS = 2_000
const P99_MS_MAX = 1_000
/** Of ingress.bodyTimeout, the longest of the deadlines that an attack can use up, and a second. */
const DEADLINE_MS = 11_000
/** What a connection may take beside its body, KiB; the schema says so of ingress.connectionsMax. */
const CONNECTION_KIB = 20
const CONNECTIONS_MAX = 10_000
const IN_FLIGHT_MIB = 128
const IN_FLIGHT_FACTOR = 1.5
/** JavaScript's heap as deploy/compose.yaml gives it to an ingress: without a limit V8 collects late, where the host has much. */
const HEAP = '--max-old-space-size=384'
const ADDRESS = '127.0.0.1'

type Way = 'direct' | 'haproxy'

function say(text: string): void {
  console.log(`${(performance.now() / 1_000).toFixed(1).padStart(6)} s  ${text}`)
}

function settings(folder: string): string {
  const file = path.join(folder, 'sallyport.yaml')
  writeFileSync(path.join(folder, 'secret'), SECRET)
  writeFileSync(
    file,
    `ingress: { trustedProxies: ['${ADDRESS}'] }
sources:
  crm:
    scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }
    secrets: ['\${file:${folder}/secret}']
  sns:
    preset: sns
    topicArns: ['arn:aws:sns:eu-central-1:123456789012:orders']
`,
  )
  return file
}

/** One attack from its beginning to what is left of it. */
class Trial {
  readonly problems: string[] = []
  readonly #ingress: IngressProcess
  readonly #senders: GenuineSenders
  readonly #boundMib: number
  /** Without a proxy, which keeps connections of its own. */
  readonly #direct: boolean

  constructor(ingress: IngressProcess, senders: GenuineSenders, boundMib: number, direct: boolean) {
    this.#ingress = ingress
    this.#senders = senders
    this.#boundMib = boundMib
    this.#direct = direct
  }

  async run(name: string, attack: Attack, url: string): Promise<void> {
    const socketsBefore = this.#ingress.sockets()
    this.#ingress.forgetPeak()
    const from = Date.now()
    const attacker = launch(name, url)
    let sockets = 0
    for (let i = 0; i < 10; i++) {
      await sleep(ATTACK_MS / 10)
      sockets = Math.max(sockets, this.#ingress.sockets() - socketsBefore)
    }
    const did = await attacker.stop()
    const until = Date.now()
    const peakMib = this.#ingress.peakRssMib()
    await sleep(RECOVERY_MS)
    const after = Date.now()
    await sleep(AFTER_MS)
    const during = this.#senders.between(from, until)
    this.#judge('during', during)
    this.#judge('until 2 s after', this.#senders.between(until, after))
    const later = this.#senders.between(after, Date.now())
    this.#judge('2 s after', later)
    if (peakMib > this.#boundMib)
      this.problems.push(`${peakMib} MiB were taken, ${this.#boundMib} are allowed`)
    if (this.#direct) {
      const left = await this.#leftAfterDeadlines(socketsBefore, until)
      if (left > 0) this.problems.push(`${left} sockets were left after the deadlines`)
      if (sockets < attack.must) this.problems.push(`only ${sockets} sockets were seen: this was no attack`)
    }
    const { p50Ms, p99Ms, longestMs, count } = during
    say(
      `${name.padEnd(20)} ${String(count).padStart(5)} genuine: p50 ${p50Ms} ms, p99 ${p99Ms} ms, longest ${longestMs} ms; ${peakMib} MiB; ${sockets} sockets; ${did}`,
    )
    for (const problem of this.problems) say(`  problem: ${problem}`)
  }

  #judge(when: string, { count, others, p99Ms }: ReturnType<GenuineSenders['between']>): void {
    if (count === 0) this.problems.push(`${when}: no genuine delivery was answered`)
    for (const [answer, times] of others) this.problems.push(`${when}: ${answer} (${times}×)`)
    if (p99Ms > P99_MS_MAX) this.problems.push(`${when}: p99 is ${p99Ms} ms`)
  }

  /** The short run goes on at once where nothing is left; a socket that stays is waited for until its deadline. */
  async #leftAfterDeadlines(before: number, until: number): Promise<number> {
    for (;;) {
      // The genuine senders' own come and go.
      const left = this.#ingress.sockets() - before - GenuineSenders.SOCKETS_MAX
      if (left <= 0 || Date.now() > until + DEADLINE_MS) return Math.max(0, left)
      await sleep(100)
    }
  }
}

/** The most memory that the settings allow, MiB: what the process takes itself, bodies and connections. */
function boundOf(baseMib: number): number {
  return Math.ceil(baseMib + IN_FLIGHT_FACTOR * IN_FLIGHT_MIB + (CONNECTIONS_MAX * CONNECTION_KIB) / 1_024)
}

/** Gives how many attacks did harm. */
async function attackAll(
  through: Way,
  ingress: IngressProcess,
  url: string,
  boundMib: number,
): Promise<number> {
  say(`${through}: ${url}`)
  const senders = new GenuineSenders(url)
  await sleep(SETTLE_MS)
  let failed = 0
  for (const [name, attack] of Object.entries(ATTACKS)) {
    if ((ONLY !== undefined && ONLY !== name) || (through === 'haproxy' && attack.directOnly)) continue
    const trial = new Trial(ingress, senders, boundMib, through === 'direct')
    await trial.run(name, attack, url)
    if (trial.problems.length > 0) failed++
  }
  await senders.stop()
  return failed
}

/** What the process takes itself, MiB: with deliveries, without an attack. */
async function memoryInPeace(ingress: IngressProcess): Promise<number> {
  const senders = new GenuineSenders(ingress.url)
  await sleep(SETTLE_MS)
  await senders.stop()
  return ingress.rssMib()
}

async function main(): Promise<number> {
  if (ONLY !== undefined && !Object.hasOwn(ATTACKS, ONLY)) {
    console.error(`there is no attack ${ONLY}: choose one of ${Object.keys(ATTACKS).join(', ')}`)
    return 2
  }
  say('a broker and a registry start')
  const cluster = await startCluster({ brokers: 1 })
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-abuse-'))
  let ingress: IngressProcess | undefined
  let haproxy: Haproxy | undefined
  let failed = 0
  try {
    ingress = await IngressProcess.start({
      connection: cluster,
      config: settings(folder),
      env: { NODE_OPTIONS: HEAP },
      port: await freePort(),
    })
    const baseMib = await memoryInPeace(ingress)
    const boundMib = boundOf(baseMib)
    say(`the ingress takes ${baseMib} MiB, and may take ${boundMib}`)
    if (THROUGH !== 'haproxy') failed += await attackAll('direct', ingress, ingress.url, boundMib)
    if (THROUGH !== 'direct') {
      for (const problem of await heldOff(folder, ingress.url)) {
        say(`problem: ${problem}`)
        failed++
      }
      haproxy = await Haproxy.start(folder, ingress.url)
      failed += await attackAll('haproxy', ingress, haproxy.url, boundMib)
    }
    const code = await ingress.stop()
    if (code !== 0) {
      say(`problem: the ingress ended with ${code}`)
      failed++
    }
  } finally {
    await haproxy?.stop()
    await ingress?.kill()
    await cluster.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  console.log(failed === 0 ? 'ok' : `FAILED: ${failed} attacks`)
  return failed === 0 ? 0 : 1
}

process.exitCode = await main()
process.exit()
