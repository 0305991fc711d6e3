/**
 * Redrives during the load, by the command line that operators use:
 *
 * events die → the command is killed half-way, while senders repeat and a process dies → the same command goes on
 *
 * They die on partitions that their keys do not belong to, where nobody claims them; of a handler that fails for as long
 * as something is away; or of both, so that an id has two letters. Each must take effect once, whoever is faster: the
 * redrive, or the sender that repeats it. The verdict judges them like any other event.
 */
import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HEADER } from '@sallyport/core/headers'
import { Cli, type Running } from '../../support/cli.ts'
import type { Cluster } from '../../support/cluster.ts'
import { eventOf } from '../../support/events.ts'
import { NAME } from './agent.ts'
import { type Fate, fateOf } from './fate.ts'
import { isStray, type Load, PARTITIONS, type Sent } from './load.ts'
import type { LogRecord } from './partition-log.ts'
import { Random } from './random.ts'
import { TopicLog } from './topic-log.ts'
import { DEAD_LETTER, REDRIVE } from './topics.ts'

/** How many events lie on foreign partitions alone, how many die of their handler alone, and how many of both. */
const EVENTS = { misplaced: 60, failing: 40, both: 10 }
/** Letters that a redrive has to send. */
const LETTERS = EVENTS.misplaced + EVENTS.failing + 2 * EVENTS.both
/** How many of them it sends a second. */
const RATE = 8
/** On a busy machine a command may be done before its kill; then it is all done again. */
const ROUNDS_MAX = 3
/** Of so many events, that many are repeated by their senders. */
const REPEATED = 3 / 4
/** So many at once, all along the redrive: some before it looks, some after it has sent them, some in between. */
const REPEATED_AT_ONCE = 3
const REPEAT_MS = 300
const LETTERS_TIMEOUT_MS = 90_000
const SENT_TIMEOUT_MS = 90_000
const COMMANDS_MAX = 10
const PAUSE_MS = 1_000
const LOOK_MS = 200
/** The exit code of a command that finds nothing left to do. */
const NOTHING_LEFT = 3

export class Redrives {
  readonly #cli: Cli
  readonly #brokers: readonly string[]
  readonly #load: Load
  readonly #folder: string
  #count = 0

  /** `folder`: takes the files that say what is away. */
  constructor(cluster: Cluster, load: Load, folder: string) {
    this.#cli = new Cli(cluster)
    this.#brokers = cluster.brokers
    this.#load = load
    this.#folder = folder
  }

  /**
   * `killAfter`: when it has sent this part of the letters. `meanwhile` happens during the redrive. Returns whether a
   * command was killed when it had sent some of the letters and not all, and another one found nothing left to send.
   */
  async run(seed: number, killAfter: number, meanwhile: () => Promise<void>): Promise<boolean> {
    for (let round = 1; round <= ROUNDS_MAX; round++) {
      if (await this.#round(seed, killAfter, round === 1 ? meanwhile : async () => {})) return true
    }
    return false
  }

  async #round(seed: number, killAfter: number, meanwhile: () => Promise<void>): Promise<boolean> {
    const type = `redriven-${++this.#count}`
    const random = Random.of(seed, type)
    const away = path.join(this.#folder, `${type}.away`)
    writeFileSync(away, '')
    const events = (name: string, count: number, more: Partial<Fate> = {}): Sent[] =>
      Array.from({ length: count }, (_, n) => {
        const fate = { ...fateOf(n, random), failures: 0, fatal: false, ...more }
        return { event: { ...eventOf(NAME, fate, `${type}-${seed}-${name}-${n}`), type }, fate }
      })
    const misplaced = events('misplaced', EVENTS.misplaced)
    const failing = events('failing', EVENTS.failing / 2, { away: { file: away, fatal: false } })
    const fatal = events('fatal', EVENTS.failing / 2, { away: { file: away, fatal: true } })
    const both = events('both', EVENTS.both, { away: { file: away, fatal: false } })
    await this.#load.place([...misplaced, ...both], 1)
    await this.#load.place([...failing, ...fatal, ...both], 0)
    const haveDied = await this.#untilDead([...misplaced, ...both], [...failing, ...fatal, ...both])
    rmSync(away)
    const all = random.shuffle([...misplaced, ...failing, ...fatal, ...both])

    const args = ['dlq', 'redrive', '--processor', NAME, '--type', type, '--rate', `${RATE}`, '--yes']
    const first = this.#cli.start(args)
    const others = [meanwhile(), this.#repeat(all.slice(0, all.length * REPEATED), first)]
    await this.#untilSent(killAfter * LETTERS, type, first)
    first.child.kill('SIGKILL')
    await first.ended
    const isFinished = await this.#goOn(args)
    await Promise.all(others)
    return haveDied && isFinished
  }

  /** Gives the command again until nothing is left. Returns whether that came, and the first one found a part done. */
  async #goOn(args: readonly string[]): Promise<boolean> {
    let wasHalfWay = false
    for (let command = 1; command <= COMMANDS_MAX; command++) {
      const { code, stdout } = await this.#cli.run(args)
      const [, done, planned] = /is open: .*, (\d+) of (\d+) done/.exec(stdout) ?? []
      if (done !== undefined && Number(done) > 0 && Number(done) < Number(planned)) wasHalfWay = true
      if (code === NOTHING_LEFT) return wasHalfWay
      await sleep(PAUSE_MS)
    }
    return false
  }

  /** Their senders repeat them, a few at a time, from the moment at which the redrive has its plan. */
  async #repeat(sent: readonly Sent[], command: Running): Promise<void> {
    await command.prints(/^Plan/m).catch(() => {})
    for (let i = 0; i < sent.length; i += REPEATED_AT_ONCE) {
      await this.#load.place(sent.slice(i, i + REPEATED_AT_ONCE), 0)
      await sleep(REPEAT_MS)
    }
  }

  /** Waits until each of them has its letter, where it lies. Returns whether they came in time. */
  async #untilDead(misplaced: readonly Sent[], failing: readonly Sent[]): Promise<boolean> {
    const missing = new Set([
      ...misplaced.map(({ event }) => `${event.id} astray`),
      ...failing.map(({ event }) => `${event.id} at home`),
    ])
    return await this.#follow(DEAD_LETTER, LETTERS_TIMEOUT_MS, records => {
      for (const record of records) missing.delete(`${record.key} ${isStray(record) ? 'astray' : 'at home'}`)
      return missing.size === 0
    })
  }

  /** Waits until so many letters are in the lane, or the command has ended. */
  async #untilSent(count: number, type: string, command: Running): Promise<void> {
    let sent = 0
    await this.#follow(REDRIVE, SENT_TIMEOUT_MS, records => {
      sent += records.filter(({ headers }) => headers[HEADER.type] === type).length
      return sent >= count || command.child.exitCode !== null
    })
  }

  /** Reads a topic until what is new in it is enough. Returns whether that came in time. */
  async #follow(
    topic: string,
    timeoutMs: number,
    isEnough: (records: readonly LogRecord[]) => boolean,
  ): Promise<boolean> {
    const log = new TopicLog(this.#brokers, topic, PARTITIONS)
    const deadline = Date.now() + timeoutMs
    try {
      while (Date.now() < deadline) {
        await log.advance().catch(() => {})
        if (isEnough(log.takeCommitted())) return true
        await sleep(LOOK_MS)
      }
      return false
    } finally {
      await log.close()
    }
  }
}
