/** Does the steps of a schedule to a fleet and a cluster. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type kafkajs from 'kafkajs'
import type { Cluster } from '../../support/cluster.ts'
import { eventOf } from '../../support/events.ts'
import { rawKafka } from '../../support/raw-kafka.ts'
import { NAME, OUTPUT } from './agent.ts'
import type { BrokerFaults } from './broker-faults.ts'
import type { BrokerStruck } from './broker-strike.ts'
import { fateOf, TIERS } from './fate.ts'
import type { Fleet, Member } from './fleet.ts'
import { type Load, PARTITIONS } from './load.ts'
import { Random } from './random.ts'
import type { Redrives } from './redrives.ts'
import type { RegistryFaults } from './registry-faults.ts'
import type { RequestFaults } from './request-faults.ts'
import { SESSION_TIMEOUT_MS, type Step, type Strike, stepName } from './schedule.ts'

/** Processes that normally run. */
export const FLEET_SIZE = 3
/** How long the broker leaves a foreign transaction open, ms. */
const OPEN_MS = 4_000
/** How long a process may take to pass a fault point, ms, and how many get the chance before the point is given up. */
const STRIKE_TIMEOUT_MS = 30_000
const STRIKES_MAX = 2
/** The markers may be written before the strike comes: so many processes try. */
const BROKER_STRIKES_MAX = 4
/** Processes that reach the brokers through the proxy while it troubles them, and while it tells them another time. */
const THROUGH_PROXY_MIN = { requests: 2, clock: 1 }
/** How long processes that have joined may take to hear the brokers' right time, ms. */
const ACQUIRING_MS = 2_000

export class Chaos {
  /** How many times each kind of step did what it is for, by `stepName`. */
  readonly struck = new Map<string, number>()
  /** Fault points that no process passed in time: what happens there was not tested. */
  readonly missed: string[] = []
  readonly #cluster: Cluster
  readonly #fleet: Fleet
  readonly #load: Load
  readonly #brokers: BrokerFaults
  readonly #requests: RequestFaults
  readonly #registry: RegistryFaults
  readonly #redrives: Redrives
  readonly #random: Random

  constructor(
    cluster: Cluster,
    fleet: Fleet,
    load: Load,
    brokers: BrokerFaults,
    requests: RequestFaults,
    registry: RegistryFaults,
    redrives: Redrives,
    seed: number,
  ) {
    this.#cluster = cluster
    this.#fleet = fleet
    this.#load = load
    this.#brokers = brokers
    this.#requests = requests
    this.#registry = registry
    this.#redrives = redrives
    this.#random = Random.of(seed, 'chaos')
  }

  async run(step: Step): Promise<void> {
    if (await this.#do(step)) this.struck.set(stepName(step), (this.struck.get(stepName(step)) ?? 0) + 1)
    await this.fill()
  }

  /** Returns whether it did what it is for. */
  async #do(step: Step): Promise<boolean> {
    switch (step.kind) {
      case 'kill': {
        const victims = this.#victims(step.count)
        await Promise.all(victims.map(member => this.#fleet.kill(member)))
        await sleep(step.afterMs)
        return victims.length > 0
      }
      case 'freeze': {
        const victim = this.#victim()
        await victim?.freeze(step.ms)
        return victim !== undefined
      }
      case 'terminate': {
        const victim = this.#victim()
        await this.#stop(victim)
        await sleep(step.afterMs)
        return victim !== undefined
      }
      case 'join':
        return await this.#joinAndLeave(step.ms, step.end)
      case 'rolling': {
        const members = [...this.#fleet.members]
        for (const member of members) {
          await this.#stop(member)
          await (await this.#fleet.add()).joined()
        }
        return members.length > 0
      }
      case 'broker': {
        const dying = this.#brokers.die(step.broker, step.ms)
        const victim = step.alsoKill ? this.#victim() : undefined
        if (victim !== undefined) await this.#fleet.kill(victim)
        await dying
        return true
      }
      case 'broker-freeze':
        await this.#brokers.freeze(step.broker, step.ms)
        return true
      case 'broker-hang':
        return await this.#brokers.freeze(step.broker, step.ms)
      case 'coordinator':
      case 'ending':
      case 'leader':
        return await this.#strikeBroker(step)
      case 'requests':
        return await this.#troubleRequests(step.ms, step.seed)
      case 'clock':
        return await this.#leapClock(step.ms)
      case 'redrive':
        return await this.#redrives.run(this.#random.between(1, 1_000_000), step.killAfter, async () => {
          const victim = this.#victim()
          if (victim !== undefined) await this.#fleet.kill(victim)
          await this.fill()
        })
      case 'registry':
        return await this.#registry.deny(step.ms, step.denial)
      case 'hang':
        return (await this.#leaveTransactionsOpen()) > 0
      case 'abort-start': {
        const member = await this.#fleet.add()
        await sleep(step.afterMs)
        await this.#stop(member)
        return true
      }
      case 'fault':
        return await this.#strike(step.fault, step.action)
    }
  }

  /** Brings the fleet to its size. */
  async fill(): Promise<void> {
    while (this.#fleet.members.length < FLEET_SIZE) await (await this.#fleet.add()).joined()
  }

  async #joinAndLeave(ms: number, end: 'kill' | 'terminate'): Promise<boolean> {
    const member = await this.#fleet.add()
    const hasJoined = await member.joined()
    await sleep(ms)
    await (end === 'kill' ? this.#fleet.kill(member) : this.#stop(member))
    return hasJoined
  }

  async #strike(fault: string, action: 'kill' | 'freeze'): Promise<boolean> {
    for (let strike = 1; strike <= STRIKES_MAX; strike++) {
      if (await this.#strikeOnce(fault, action)) return true
      await this.fill()
    }
    this.missed.push(fault)
    return false
  }

  /** A process takes another one's place, and dies or freezes at the point. False: it did not pass it in time. */
  async #strikeOnce(fault: string, action: 'kill' | 'freeze'): Promise<boolean> {
    const member = await this.#replace(fault)
    if (fault.startsWith('leave')) {
      await member.joined()
      await sleep(1_000)
      member.expected = true
      member.signal('SIGTERM')
    }
    if ((await this.#waitForStrike(member)) === undefined) return false
    if (action === 'kill') {
      await member.exited
    } else {
      await sleep(SESSION_TIMEOUT_MS + 2_000)
      member.signal('SIGCONT')
      if (member.expected) await this.#stop(member)
    }
    return true
  }

  /** A process takes another one's place, and kills or freezes a broker at the point; it goes on itself. */
  async #strikeBroker(step: Strike): Promise<boolean> {
    for (let strike = 1; strike <= BROKER_STRIKES_MAX; strike++) {
      const struck = await this.#brokers.withTargets(async () =>
        this.#waitForStrike(await this.#replace(step.fault)),
      )
      if (struck !== undefined) {
        const broker: BrokerStruck = JSON.parse(struck)
        await this.#brokers.recover(broker, step.ms)
        if (step.kind !== 'ending' || (await this.#brokers.wasEnding(broker))) return true
      }
      await this.fill()
    }
    return false
  }

  /** Where the fault that a process was started with struck. Undefined, and it is killed: not in time. */
  async #waitForStrike(member: Member): Promise<string | undefined> {
    const late = sleep(STRIKE_TIMEOUT_MS, undefined, { ref: false })
    const struck = await Promise.race([member.struck, member.exited.then(() => undefined), late])
    if (struck !== undefined) return struck
    // Else it would strike later, when nobody looks.
    await this.#fleet.kill(member)
    return await Promise.race([member.struck, sleep(0, undefined)])
  }

  async #replace(fault: string, brokers?: readonly string[]): Promise<Member> {
    await this.#stop(this.#victim())
    return await this.#fleet.add(fault, brokers)
  }

  /** Some of the processes reach the brokers through the proxy, from the first such step on until they end. */
  async #troubleRequests(ms: number, seed: number): Promise<boolean> {
    await this.#goThroughProxy(THROUGH_PROXY_MIN.requests)
    return (await this.#requests.trouble(ms, seed)) > 0
  }

  /** Returns whether a process noticed. */
  async #leapClock(ms: number): Promise<boolean> {
    const through = await this.#goThroughProxy(THROUGH_PROXY_MIN.clock)
    await sleep(ACQUIRING_MS)
    const said = () => through.reduce((sum, { oddClocks }) => sum + oddClocks, 0)
    const before = said()
    await this.#requests.leapClock(ms)
    return said() > before
  }

  async #goThroughProxy(min: number): Promise<Member[]> {
    const { brokers } = this.#requests
    const through = () => this.#fleet.members.filter(member => member.brokers === brokers)
    for (let count = through().length; count < min; count++) await (await this.#replace('', brokers)).joined()
    return through()
  }

  /**
   * What a foreign producer that died leaves: records that must never take effect, and readers that are held up.
   * Returns how many transactions it left.
   */
  async #leaveTransactionsOpen(): Promise<number> {
    let left = 0
    const kafka = rawKafka(this.#cluster.brokers)
    const createPartitioner: kafkajs.ICustomPartitioner =
      () =>
      ({ message }) =>
        message.partition as number
    const topics = [
      'sallyport.events',
      `sallyport.${NAME}.retry.${this.#random.between(1, TIERS.length)}`,
      OUTPUT,
    ]
    for (const topic of topics) {
      const producer = kafka.producer({
        transactionalId: `foreign-${randomUUID()}`,
        transactionTimeout: OPEN_MS,
        maxInFlightRequests: 1,
        createPartitioner,
      })
      try {
        await producer.connect()
        const transaction = await producer.transaction()
        const n = -this.#random.between(1, 1_000_000)
        for (let i = 0; i < PARTITIONS; i++) {
          const event = eventOf(
            NAME,
            { ...fateOf(n, this.#random), failures: 0, fatal: false },
            `open-${n}-${i}`,
          )
          await transaction.send({ topic, messages: [this.#load.encode(event)] })
        }
        left++
      } catch {
        // A broker is away: what could be left open is.
      } finally {
        await producer.disconnect().catch(() => {})
      }
    }
    return left
  }

  async #stop(member: Member | undefined): Promise<void> {
    if (member !== undefined) await this.#fleet.stop(member)
  }

  #victim(): Member | undefined {
    return this.#victims(1)[0]
  }

  #victims(count: number): Member[] {
    return this.#random.shuffle(this.#fleet.members).slice(0, count)
  }
}
