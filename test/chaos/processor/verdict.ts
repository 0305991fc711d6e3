/** What came of a run, from the topics as they are in the brokers' logs. */
import { HEADER } from '@sallyport/core/headers'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { commonProperties } from 'sallyport/broker/kafka-server'
import { OUTPUT } from './agent.ts'
import { endsDead, type Fate, lastAttempt } from './fate.ts'
import { claimOf, replayClaims } from './ledger.ts'
import { type Accepted, isStray, PARTITIONS } from './load.ts'
import type { LogRecord, Marker } from './partition-log.ts'
import { readTopic, type TopicLog } from './topic-log.ts'
import { CLAIMS, DEAD_LETTER, REDRIVE, RETRIES } from './topics.ts'
import { type Judging, judgeTransactions, type TransactionsVerdict } from './transactions.ts'
import { type Question, questionsOf, transactionProblems } from './transactions-report.ts'

/** The group's offsets are written in the tasks' transactions too. */
const OFFSETS = '__consumer_offsets'
const OFFSETS_PARTITIONS = Number(commonProperties(3)['offsets.topic.num.partitions'])
const EXPLAINED_MAX = 10
/** Lost or duplicated ids whose transactions are asked about. */
const ASKED_MAX = 3

export interface Verdict {
  /** Terminal effects of accepted ids. */
  readonly effects: number
  /** Accepted ids without their whole effect. */
  readonly lost: readonly string[]
  /** Accepted ids with more than their effect. */
  readonly duplicated: readonly string[]
  readonly transactions: TransactionsVerdict
  /** Everything else that must not be, and each transaction that is not as it must be. */
  readonly problems: readonly string[]
  /** Whose transactions the coordinators' log should be asked about: those of the first problems. */
  readonly questions: readonly Question[]
  readonly markers: readonly Marker[]
  /** For people: what the checker saw. */
  readonly facts: readonly string[]
  explain(id: string): string
}

/** The terminal effects that Kafka holds of one event id. */
interface Effect {
  readonly outputs: LogRecord[]
  readonly dead: LogRecord[]
}

const NO_EFFECT: Effect = { outputs: [], dead: [] }

export async function judge(
  brokers: readonly string[],
  accepted: ReadonlyMap<string, Accepted>,
  groupOffsets: ReadonlyMap<string, number>,
  judging: Judging,
): Promise<Verdict> {
  const read = (topic: string) => readTopic(brokers, topic, PARTITIONS)
  const events = await read(EVENTS_TOPIC)
  const retries = await Promise.all(RETRIES.map(read))
  const [output, deadLetter] = await Promise.all([read(OUTPUT), read(DEAD_LETTER)])
  const claims = await readTopic(brokers, CLAIMS, PARTITIONS, true)
  const lane = await read(REDRIVE)
  const logs = [events, ...retries, lane, output, deadLetter, claims]
  const { effects, redriven } = effectsOf(output, deadLetter, accepted)
  const lost: string[] = []
  const duplicated: string[] = []
  const problems: string[] = []
  let terminal = 0
  for (const [id, { fate }] of accepted) {
    const effect = effects.get(id) ?? NO_EFFECT
    const { whole, times } = countEffect(effect, fate)
    terminal += times
    if (!whole) lost.push(id)
    if (times > 1) duplicated.push(id)
    if (whole && times === 1) problems.push(...wrong(id, effect, fate))
  }
  for (const id of effects.keys())
    if (!accepted.has(id)) problems.push(`${id} was never accepted, and took effect`)
  for (const [id, { fate }] of accepted)
    if (fate.away !== undefined && !redriven.has(id)) problems.push(`${id} never died, as it was to`)
  for (const id of accepted.keys())
    if (effects.get(id) === undefined && !events.committed.some(({ key }) => key === id))
      problems.push(`${id} was acknowledged and is not in ${EVENTS_TOPIC}`)

  const ledger = replayClaims(claims, [events, ...retries, lane])
  problems.push(...ledger.problems)
  for (const id of accepted.keys()) {
    const claim = ledger.claims.get(id)
    if (claim === undefined || claim.state === 'PENDING')
      problems.push(`${id} ends with ${claim === undefined ? 'no claim' : 'a claim that is PENDING'}`)
  }
  for (const [place, position] of ledger.positions) {
    const mirrored = groupOffsets.get(place)
    if (mirrored !== position)
      problems.push(`the group's offset of ${place} is ${mirrored}, its position ${position}`)
  }
  const written = [...logs, await readTopic(brokers, OFFSETS, OFFSETS_PARTITIONS)]
  const transactions = judgeTransactions(
    written.flatMap(({ partitions }) => partitions.map(({ records }) => records)),
    judging,
  )
  const markers = written.flatMap(log => log.markers)
  problems.push(...transactionProblems(transactions, markers))
  const undecided = transactions.undecided === 0 ? '' : `; epochs left out: ${transactions.undecided}`
  return {
    effects: terminal,
    lost,
    duplicated,
    transactions,
    problems,
    questions: [
      ...questionsOf(transactions),
      ...[...lost, ...duplicated].slice(0, ASKED_MAX).flatMap(id => questionsAbout(id, logs)),
    ],
    markers,
    facts: [
      `records: ${logs.map(({ topic, committed }) => `${committed.length} ${topic.slice('sallyport.'.length)}`).join(', ')}`,
      `records of aborted transactions: ${logs.map(log => log.records.filter(({ state }) => state === 'aborted').length).reduce((a, b) => a + b)}`,
      `transactions: ${transactions.transactions}, ended in ${transactions.pieces} partitions${undecided}`,
      `records below committed positions with their claims looked up: ${ledger.checked}`,
    ],
    explain: id => explain(id, logs, accepted.get(id)),
  }
}

/** At most `EXPLAINED_MAX` ids with all that the topics hold of them. */
export function explainAll({ lost, duplicated, problems, explain }: Verdict): string {
  const ids = [...lost, ...duplicated].slice(0, EXPLAINED_MAX)
  const mentioned = problems.flatMap(problem => /chaos\/[\w-]+/.exec(problem)?.[0] ?? []).slice(0, 3)
  return [
    ...problems.slice(0, 2 * EXPLAINED_MAX).map(problem => `problem: ${problem}`),
    ...(problems.length > 2 * EXPLAINED_MAX ? [`… and ${problems.length - 2 * EXPLAINED_MAX} more`] : []),
    ...[...new Set([...ids, ...mentioned])].map(explain),
  ].join('\n')
}

/** `redriven`: the ids whose first letter is no end, because a redrive brings it. */
function effectsOf(
  output: TopicLog,
  deadLetter: TopicLog,
  accepted: ReadonlyMap<string, Accepted>,
): { effects: Map<string, Effect>; redriven: Set<string> } {
  const effects = new Map<string, Effect>()
  const redriven = new Set<string>()
  const of = (id: string): Effect => {
    const effect = effects.get(id) ?? { outputs: [], dead: [] }
    effects.set(id, effect)
    return effect
  }
  for (const record of output.committed) of(eventIdOf(record)).outputs.push(record)
  for (const record of deadLetter.committed) {
    if (isStray(record)) continue
    const isFirst = accepted.get(record.key)?.fate.away !== undefined && !redriven.has(record.key)
    if (isFirst) redriven.add(record.key)
    else of(record.key).dead.push(record)
  }
  return { effects, redriven }
}

/** The event that an output came from: its CloudEvents id, less the number of the output. */
function eventIdOf({ headers, key }: LogRecord): string {
  return (headers[HEADER.id] ?? key).replace(/#\d+$/, '')
}

/** Whether the whole effect is there, and how many times any of it is. */
function countEffect({ outputs, dead }: Effect, fate: Fate): { whole: boolean; times: number } {
  const counts = new Map<string, number>()
  for (const { headers } of outputs) {
    const id = headers[HEADER.id] as string
    counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  const processed = Math.max(0, ...counts.values())
  const whole = dead.length > 0 || counts.size >= (endsDead(fate) ? 1 : fate.outputs)
  return { whole, times: processed + dead.length }
}

/** An effect that is there once, and is not the one that the fate asks for. */
function wrong(id: string, { outputs, dead }: Effect, fate: Fate): string[] {
  if (endsDead(fate) !== dead.length > 0)
    return [`${id} ended ${dead.length > 0 ? 'in the dead letter' : 'processed'}, its fate is the other`]
  const [letter] = dead
  const history: unknown[] = JSON.parse(letter?.headers[HEADER.history] ?? '[]')
  if (letter !== undefined && history.length !== lastAttempt(fate))
    return [`the dead letter of ${id} tells ${history.length} attempts, its fate has ${lastAttempt(fate)}`]
  if (letter === undefined && outputs.length !== fate.outputs)
    return [`${id} has ${outputs.length} outputs, its attempt emitted ${fate.outputs}`]
  return []
}

/** One for each transaction that wrote a record of the id. */
function questionsAbout(id: string, logs: readonly TopicLog[]): Question[] {
  const questions = new Map<string, Question>()
  for (const { producer, timestamp, end } of recordsOf(id, logs)) {
    if (producer === null) continue
    const name = `${producer.id}/${producer.epoch} until ${end?.timestamp}`
    const question = {
      about: id,
      producerId: producer.id,
      fromMs: timestamp,
      toMs: end?.timestamp ?? timestamp,
    }
    if (!questions.has(name)) questions.set(name, question)
  }
  return [...questions.values()]
}

function recordsOf(id: string, logs: readonly TopicLog[]): LogRecord[] {
  return logs
    .flatMap(log => log.records.filter(record => record.key === id || eventIdOf(record) === id))
    .sort((a, b) => a.timestamp - b.timestamp)
}

function explain(id: string, logs: readonly TopicLog[], accepted: Accepted | undefined): string {
  const fate = accepted === undefined ? 'never accepted' : JSON.stringify(accepted.fate)
  const lines = recordsOf(id, logs).map(record => {
    const { topic, partition, offset, timestamp, state, producer, headers } = record
    const claim = topic === CLAIMS ? ` ${JSON.stringify(claimOf(record))}` : ''
    const attempt = headers[HEADER.attempt] === undefined ? '' : ` attempt ${headers[HEADER.attempt]}`
    const time = new Date(timestamp).toISOString().slice(11, -1)
    return `    ${time} ${topic}/${partition}/${offset} ${state} by ${producer === null ? 'no transaction' : `${producer.id}/${producer.epoch}`}${attempt}${claim}`
  })
  return [`${id} (${fate}):`, ...lines].join('\n')
}
