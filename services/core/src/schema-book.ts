/**
 * What the ids of one registry stand for, for all readers of a process.
 *
 * known → asked → doubted → found | none
 *
 * G4. That an id has no schema is believed only when the registry said so several times over `doubtMs`, in its own
 *     words, and still had after each time a schema that it is known to have had. Anything else is a registry that is
 *     away: whoever reads waits and asks again.
 * G5. Doubts hold readers for a bounded time: two doubts' length at once, then a tenth of any longer time. Beyond it
 *     the answers come one right after the other, still at least three of them.
 * G6. Nothing is held against an id for good: that it has no schema is forgotten after ten minutes.
 * G7. Schemas that this process has registered are known without a question.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Clock, steadyClock } from './clock.ts'
import { type AvroSchema, parseSchema } from './codec.ts'
import { DoubtAllowance } from './doubt-allowance.ts'
import { SallyportError } from './errors.ts'
import type { RegistryQuestions } from './registry-questions.ts'

/**
 * The schema of an id, or undefined where the registry has none. Throws `SP_REGISTRY_UNREACHABLE` (retryable), and
 * what `parseSchema` says of a schema that is not Avro.
 */
export type SchemaLookup = (id: number) => Promise<AvroSchema | undefined>

/** How long a registry must deny an id before that is believed, ms, unless a setting says otherwise. */
export const DOUBT_MS = 30_000
/** How long it is believed then, ms. */
export const BELIEVED_MS = 600_000
/** Most ids of which that is remembered: a foreign producer can invent any number. */
export const DENIED_MAX = 1_000
const ANSWERS_MIN = 3
/** The pause behind the first answer, ms; each next one is twice as long. */
const PAUSE_MS = 1_000
/** What is left of a doubt's time below this is not waited for, ms: the timers of many would make more of it. */
const PAUSE_MS_MIN = 10
const ALLOWED_DOUBTS = 2
const ALLOWED_SHARE = 0.1
/** How many of the schemas that were found last the registry is asked for again. */
const WITNESSES_MAX = 2

export class SchemaBook {
  readonly #questions: RegistryQuestions
  readonly #doubtMs: number
  readonly #clock: Clock
  readonly #allowance: DoubtAllowance
  readonly #registered = new Map<number, AvroSchema>()
  /** Ids of schemas that the registry has shown, the latest last. */
  #found: readonly number[] = []
  /** Id → until when it is believed that it has no schema. */
  readonly #denied = new Map<number, number>()
  readonly #asking = new Map<number, Promise<AvroSchema | undefined>>()

  constructor(questions: RegistryQuestions, doubtMs: number = DOUBT_MS, clock: Clock = steadyClock) {
    this.#questions = questions
    this.#doubtMs = doubtMs
    this.#clock = clock
    this.#allowance = new DoubtAllowance(ALLOWED_DOUBTS * doubtMs, ALLOWED_SHARE, clock)
  }

  /** The registry gave a schema this id. */
  know(id: number, schema: AvroSchema): void {
    this.#registered.set(id, schema)
  }

  /** The schema of an id; may take as long as a doubt. */
  readonly find: SchemaLookup = async id => {
    const registered = this.#registered.get(id)
    if (registered !== undefined) return registered
    if (this.#clock() < (this.#denied.get(id) ?? 0)) return undefined
    let asking = this.#asking.get(id)
    if (asking === undefined) {
      asking = this.#ask(id).finally(() => this.#asking.delete(id))
      this.#asking.set(id, asking)
    }
    return await asking
  }

  /** What the registry says at this moment, believed at once: for those who only show. */
  readonly glance: SchemaLookup = async id => {
    const registered = this.#registered.get(id)
    if (registered !== undefined) return registered
    const text = await this.#questions.schemaText(id)
    return text === undefined ? undefined : parseSchema(text)
  }

  async #ask(id: number): Promise<AvroSchema | undefined> {
    const text = (await this.#questions.schemaText(id)) ?? (await this.#doubt(id))
    if (text === undefined) {
      const [oldest] = this.#denied.keys()
      if (oldest !== undefined && this.#denied.size >= DENIED_MAX) this.#denied.delete(oldest)
      this.#denied.set(id, this.#clock() + BELIEVED_MS)
      return undefined
    }
    this.#denied.delete(id)
    this.#found = [...this.#found.filter(one => one !== id), id].slice(-WITNESSES_MAX)
    return parseSchema(text)
  }

  /** The registry has denied the id once. */
  async #doubt(id: number): Promise<string | undefined> {
    const startedAt = this.#clock()
    this.#allowance.begin()
    try {
      let pauseMs = PAUSE_MS
      for (let answers = 1; ; answers++) {
        await this.#checkWhole()
        const leftMs = Math.min(startedAt + this.#doubtMs - this.#clock(), this.#allowance.leftMs)
        const mayWait = leftMs >= PAUSE_MS_MIN
        if (!mayWait && answers >= ANSWERS_MIN) return undefined
        if (mayWait) await sleep(Math.min(pauseMs, leftMs))
        pauseMs *= 2
        const text = await this.#questions.schemaText(id)
        if (text !== undefined) return text
      }
    } finally {
      this.#allowance.end()
    }
  }

  /** A registry that has lost what it had, or has not read it yet, denies nothing. */
  async #checkWhole(): Promise<void> {
    const witnesses = [...this.#registered.keys()].slice(0, 1).concat(this.#found)
    for (const id of witnesses) if ((await this.#questions.schemaText(id)) !== undefined) return
    if (witnesses.length === 0 && (await this.#questions.hasSubjects()) !== false) return
    const what =
      witnesses.length === 0 ? 'has no schemas at all' : `no longer has schema ${witnesses.join(', ')}`
    throw new SallyportError(
      'SP_REGISTRY_UNREACHABLE',
      `the schema registry at ${this.#questions.url} ${what}, so it is not believed that it lacks others: check SCHEMA_REGISTRY_URL, and that it has read its storage`,
      { retryable: true },
    )
  }
}
