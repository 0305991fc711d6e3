/** Does the steps of a schedule to a fleet and a cluster. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type kafkajs from 'kafkajs'
import type { Cluster } from '../../support/cluster.ts'
import { eventOf } from '../../support/events.ts'
import { rawKafka } from '../../support/raw-kafka.ts'
import { NAME, OUTPUT } from './agent.ts'
import { fateOf, TIERS } from './fate.ts'
import type { Fleet, Member } from './fleet.ts'
import { type Load, PARTITIONS } from './load.ts'
import { Random } from './random.ts'
import { SESSION_TIMEOUT_MS, type Step } from './schedule.ts'

/** Processes that normally run. */
export const FLEET_SIZE = 3
/** How long the broker leaves a foreign transaction open, ms. */
const OPEN_MS = 4_000
/** How long a process may take to pass a fault point, ms, and how many get the chance before the point is given up. */
const STRIKE_TIMEOUT_MS = 30_000
const STRIKES_MAX = 2

export class Chaos {
  /** Fault points at which a process died or froze. */
  struck = 0
  /** Fault points that no process passed in time: what happens there was not tested. */
  readonly missed: string[] = []
  readonly #cluster: Cluster
  readonly #fleet: Fleet
  readonly #load: Load
  readonly #random: Random

  constructor(cluster: Cluster, fleet: Fleet, load: Load, seed: number) {
    this.#cluster = cluster
    this.#fleet = fleet
    this.#load = load
    this.#random = Random.of(seed, 'chaos')
  }

  async run(step: Step): Promise<void> {
    switch (step.kind) {
      case 'kill':
        await Promise.all(this.#victims(step.count).map(member => this.#fleet.kill(member)))
        await sleep(step.afterMs)
        break
      case 'freeze':
        await this.#victim()?.freeze(step.ms)
        break
      case 'terminate':
        await this.#stop(this.#victim())
        await sleep(step.afterMs)
        break
      case 'join':
        await this.#joinAndLeave(step.ms, step.end)
        break
      case 'rolling':
        for (const member of [...this.#fleet.members]) {
          await this.#stop(member)
          await (await this.#fleet.add()).joined()
        }
        break
      case 'broker':
        await this.#brokerDies(step.broker, step.ms, step.alsoKill)
        break
      case 'hang':
        await this.#leaveTransactionsOpen()
        break
      case 'abort-start': {
        const member = await this.#fleet.add()
        await sleep(step.afterMs)
        await this.#stop(member)
        break
      }
      case 'fault':
        await this.#strike(step.fault, step.action)
    }
    await this.fill()
  }

  /** Brings the fleet to its size. */
  async fill(): Promise<void> {
    while (this.#fleet.members.length < FLEET_SIZE) await (await this.#fleet.add()).joined()
  }

  async #joinAndLeave(ms: number, end: 'kill' | 'terminate'): Promise<void> {
    const member = await this.#fleet.add()
    await member.joined()
    await sleep(ms)
    await (end === 'kill' ? this.#fleet.kill(member) : this.#stop(member))
  }

  async #brokerDies(broker: number, ms: number, alsoKill: boolean): Promise<void> {
    await this.#cluster.kill(broker)
    const victim = alsoKill ? this.#victim() : undefined
    if (victim !== undefined) await this.#fleet.kill(victim)
    await sleep(ms)
    await this.#cluster.restart(broker)
  }

  async #strike(fault: string, action: 'kill' | 'freeze'): Promise<void> {
    for (let strike = 1; strike <= STRIKES_MAX; strike++) {
      if (await this.#strikeOnce(fault, action)) {
        this.struck++
        return
      }
      await this.fill()
    }
    this.missed.push(fault)
  }

  /** A process takes another one's place, and dies or freezes at the point. False: it did not pass it in time. */
  async #strikeOnce(fault: string, action: 'kill' | 'freeze'): Promise<boolean> {
    await this.#stop(this.#victim())
    const member = await this.#fleet.add(fault)
    if (fault.startsWith('leave')) {
      await member.joined()
      await sleep(1_000)
      member.expected = true
      member.signal('SIGTERM')
    }
    const late = sleep(STRIKE_TIMEOUT_MS, undefined, { ref: false })
    const at = await Promise.race([member.struck, member.exited.then(() => undefined), late])
    if (at === undefined) {
      // Else it would die or freeze later, when nobody looks.
      await this.#fleet.kill(member)
    } else if (action === 'kill') {
      await member.exited
    } else {
      await sleep(SESSION_TIMEOUT_MS + 2_000)
      member.signal('SIGCONT')
      if (member.expected) await this.#stop(member)
    }
    return at !== undefined
  }

  /** What a foreign producer that died leaves: records that must never take effect, and readers that are held up. */
  async #leaveTransactionsOpen(): Promise<void> {
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
      } catch {
        // A broker is away: what could be left open is.
      } finally {
        await producer.disconnect().catch(() => {})
      }
    }
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
