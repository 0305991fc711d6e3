/**
 * Runs an operation: open → take up → (batches with their progress)* → finish → note that it was told; or cancel.
 *
 * W1. Nothing is written before the operation stands in the audit and no earlier one on the processor is open.
 * W2. Whoever runs an operation has taken it up with its transactional id, and reads how far it is only then: an
 *     earlier runner can write nothing more, and what it wrote is known.
 * W3. What is sent in a second and the progress behind it are one transaction, with one record in the audit. Killed
 *     anywhere, an operation goes on behind its last one: nothing is sent twice, nothing forgotten.
 * W4. What is picked follows from the topics up to the operation's own record, so every runner picks the same.
 */
import type { AuditRecord, AuditState, OffsetRange, Operation, Progress } from '@sallyport/core/audit'
import { CHECKPOINT_RECORDS } from '@sallyport/core/audit-log'
import { SallyportError } from '@sallyport/core/errors'
import { HEADER } from '@sallyport/core/headers'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { OperationProducer } from '@sallyport/core/kafka/operation-producer'
import { type PartitionWrites, type ProduceRecord, recordBytes } from '@sallyport/core/kafka/produce-record'
import { type Candidate, candidates } from './candidates.ts'
import { type Desk, topicsOf } from './desk.ts'
import { everySecond } from './every-second.ts'
import { isOrphaned, operatorText, thisOperator } from './operator.ts'
import { Pace } from './pace.ts'
import { isSelected, type Plan } from './plan.ts'
import { commandName } from './selection.ts'

export interface RunOptions {
  /** Records per second; undefined: as fast as it goes. */
  readonly rate: number | undefined
  /** Stops between two batches, of which those since the last note are taken back; the operation stays open. */
  readonly signal: AbortSignal
  onProgress(handled: number): void
}

const BATCH_RECORDS_MAX = 500
const BATCH_BYTES_MAX = 700_000

/** Headers that tell of the last failure; the reason and the origin stay with the record. */
const LAST_FAILURE = [HEADER.code, HEADER.message, HEADER.processor, HEADER.replayed, HEADER.redriven]

/** Opens the operation that a plan describes (W1). Throws `SP_OPERATION_OPEN` when another one is open. */
export async function open(desk: Desk, plan: Plan, why: string): Promise<Operation> {
  const started: AuditRecord = {
    ...step(plan, 'STARTED', plan.count),
    operation: null,
    why,
    command: plan.command,
    selection: plan.selection,
    ranges: plan.ranges,
  }
  // Offset 0 is no operation (O1), and there is only one.
  const id = (await desk.audit.append(started)) || (await desk.audit.append(started))
  const holder = (await desk.audit.read(id)).openOperation(plan.processor)
  if (holder?.id === id) return holder
  await desk.audit.append({ ...step(plan, 'CANCELLED', 0), operation: id })
  throw holder === undefined
    ? new SallyportError('SP_TRANSACTION', `operation ${id} is no longer open: run the command again`)
    : occupied(holder)
}

/** Runs an open operation to its end, from where it stands. Throws `SP_FENCED` when somebody else took it up. */
export async function run(desk: Desk, opened: Operation, options: RunOptions): Promise<Operation> {
  const runner = await takeUp(desk, opened)
  try {
    if (opened.kind === 'DISCARD') await runner.countAll(options)
    else await runner.sendAll(options)
    return must(await desk.audit.read(await runner.close('FINISHED')), opened.id)
  } catch (error) {
    if (error instanceof SallyportError && error.code === 'SP_FENCED') throw await fencedBy(desk, opened)
    throw error
  } finally {
    await runner.end()
  }
}

/** Notes that somebody was told of the end (O4). */
export async function noteReported(desk: Desk, operation: Operation): Promise<void> {
  await desk.audit.append({ ...step(operation, 'REPORTED', operation.handled), operation: operation.id })
}

/** Gives an open operation up: what it sent stays sent, the rest is as if it had never been asked for. */
export async function cancel(desk: Desk, opened: Operation): Promise<Operation> {
  const runner = await takeUp(desk, opened)
  try {
    return must(await desk.audit.read(await runner.close('CANCELLED')), opened.id)
  } finally {
    await runner.end()
  }
}

/** Says who holds a processor, and what can be done about it. */
export function occupied(holder: Operation): SallyportError {
  const name = commandName(holder.kind)
  const state = isOrphaned(holder) ? 'stopped' : 'may still be running'
  return new SallyportError(
    'SP_OPERATION_OPEN',
    `operation ${holder.id} on ${holder.processor} is open: ${holder.command}, by ${operatorText(holder.lastBy)} at ${new Date(holder.lastAt).toISOString()}, ${holder.handled} of ${holder.planned} done; it ${state}. Go on with it by sallyport ${name} --resume ${holder.id}, or give it up by sallyport ${name} --cancel ${holder.id}`,
  )
}

/** Becomes the one runner of an operation (W2). */
async function takeUp(desk: Desk, opened: Operation): Promise<Runner> {
  await desk.audit.prepare()
  const topic = topicsOf(opened.processor).redrive
  const lanes = [...(await desk.reader.bounds(topic)).keys()].map(partition => ({ topic, partition }))
  const id = `sallyport.${opened.processor}.operation-${opened.id}`
  const producer = await OperationProducer.open(desk.producers, id, lanes)
  try {
    const record = { ...step(opened, 'RUNNING', opened.handled), operation: opened.id }
    const at = await producer.commit(desk.audit.encode(record))
    const state = await desk.audit.read(at)
    const operation = must(state, opened.id)
    if (operation.state !== 'open') throw closed(operation)
    const holder = state.openOperation(operation.processor)
    if (holder !== undefined && holder.id !== operation.id) throw occupied(holder)
    const earlier = state.operations(operation.processor).filter(({ id }) => id < operation.id)
    return new Runner(desk, operation, earlier, producer)
  } catch (error) {
    await producer.close()
    throw error
  }
}

class Runner {
  readonly #desk: Desk
  readonly #operation: Operation
  readonly #earlier: readonly Operation[]
  readonly #producer: OperationProducer
  /** Partition → up to where it was sent to its own partition of the lane. */
  readonly #laneEnds: Map<number, number>
  #handled: number
  /** What the open transaction has sent, and up to where. */
  #sent = { count: 0, through: 0 }
  #notes = 0

  constructor(desk: Desk, operation: Operation, earlier: readonly Operation[], producer: OperationProducer) {
    this.#desk = desk
    this.#operation = operation
    this.#earlier = earlier
    this.#producer = producer
    this.#laneEnds = new Map([...operation.progress].map(([partition, { laneEnd }]) => [partition, laneEnd]))
    this.#handled = operation.handled
  }

  async sendAll(options: RunOptions): Promise<void> {
    const pace = new Pace(options.rate)
    const recordsMax = Math.max(1, Math.min(BATCH_RECORDS_MAX, options.rate ?? BATCH_RECORDS_MAX))
    options.onProgress(this.#handled)
    for (const range of this.#operation.ranges.values()) {
      let batch: Candidate[] = []
      let bytes = 0
      const flush = async (through: number): Promise<void> => {
        if (batch.length === 0) return
        await pace.wait(batch.length, options.signal)
        await this.#send(range.partition, batch, through)
        batch = []
        bytes = 0
      }
      const note = () => this.#note(range.partition, this.#sent.through, options)
      for await (const candidate of everySecond(this.#selected(range), note)) {
        options.signal.throwIfAborted()
        batch.push(candidate)
        bytes += recordBytes(candidate.record)
        if (batch.length >= recordsMax || bytes >= BATCH_BYTES_MAX) await flush(candidate.record.offset + 1)
      }
      options.signal.throwIfAborted()
      await flush(range.until)
      await this.#note(range.partition, range.until, options)
    }
  }

  /** Hides: the operation's record says it all; it is only counted. */
  async countAll(options: RunOptions): Promise<void> {
    this.#handled = 0
    for (const range of this.#operation.ranges.values()) {
      for await (const _ of this.#selected(range)) {
        options.signal.throwIfAborted()
        options.onProgress(++this.#handled)
      }
    }
  }

  /** Returns the offset of the last record. */
  async close(how: 'FINISHED' | 'CANCELLED'): Promise<number> {
    return await this.#producer.commit(this.#record(how, null))
  }

  async end(): Promise<void> {
    await this.#producer.close()
  }

  async *#selected(range: OffsetRange): AsyncGenerator<Candidate> {
    const through = this.#operation.progress.get(range.partition)?.through ?? range.from
    if (through >= range.until) return
    const { kind, processor, selection } = this.#operation
    const request = { kind, processor, selection, operations: this.#earlier }
    for await (const candidate of candidates(this.#desk, request, { ...range, from: through })) {
      if (isSelected(candidate)) yield candidate
    }
  }

  /** Sends what was picked in a partition: to the same one of the lane, but for events that are at home elsewhere. */
  async #send(partition: number, batch: readonly Candidate[], through: number): Promise<void> {
    const { kind, id, processor } = this.#operation
    const topic = topicsOf(processor).redrive
    const lanes = Map.groupBy(batch, ({ home }) => home)
    const writes = [...lanes].map(([home, candidates]): PartitionWrites => {
      const records = candidates.map(({ record, replay }) =>
        laneRecord(record, kind === 'REPLAY', replay, id),
      )
      return { topic, partition: home, records }
    })
    const ends = await this.#producer.send(writes)
    this.#laneEnds.set(partition, ends.get(partition) ?? this.#laneEnds.get(partition) ?? 0)
    this.#sent = { count: this.#sent.count + batch.length, through }
  }

  /** Commits what was sent of a partition, with how far it is (W3). */
  async #note(partition: number, through: number, { onProgress }: RunOptions): Promise<void> {
    if (this.#sent.count === 0) return
    this.#handled += this.#sent.count
    this.#sent = { count: 0, through: 0 }
    const laneEnd = this.#laneEnds.get(partition) ?? 0
    await this.#producer.commit(this.#record('PROGRESS', { partition, through, laneEnd }))
    onProgress(this.#handled)
    // Where that fails, whoever appends next does it.
    if (++this.#notes % CHECKPOINT_RECORDS === 0) await this.#desk.audit.keepShort().catch(() => {})
  }

  #record(how: AuditRecord['step'], progress: Progress | null): Omit<ProduceRecord, 'headers'> {
    const record = { ...step(this.#operation, how, this.#handled), operation: this.#operation.id, progress }
    return this.#desk.audit.encode(record)
  }
}

/**
 * The record as it goes round again: its bytes and its trace, a new generation, the first attempt. A dead letter keeps
 * why it died and where it came from, and is marked as redriven: it runs only if its id has not taken effect. A past
 * event is marked as replayed: it runs again.
 */
function laneRecord(
  record: FetchedRecord,
  isReplay: boolean,
  replay: number,
  generation: number,
): ProduceRecord {
  const { key, value, topic, partition, offset } = record
  const kept = Object.entries(record.headers).filter(
    ([name]) => !(LAST_FAILURE as readonly string[]).includes(name),
  )
  const headers = {
    ...Object.fromEntries(kept),
    [HEADER.generation]: String(generation),
    [HEADER.attempt]: '1',
    ...(isReplay
      ? { [HEADER.replayed]: 'true', [HEADER.origin]: `${topic}/${partition}/${offset}` }
      : { [HEADER.redriven]: String(replay) }),
  }
  return { key, value, headers }
}

/** What a step of an operation has in every record. */
function step(
  { kind, processor }: { readonly kind: Operation['kind']; readonly processor: string },
  how: AuditRecord['step'],
  count: number,
): AuditRecord {
  return {
    operation: null,
    kind,
    step: how,
    processor,
    by: thisOperator(),
    why: '',
    command: '',
    selection: null,
    ranges: [],
    progress: null,
    count,
    checkpoint: null,
  }
}

function must(state: AuditState, id: number): Operation {
  const operation = state.operation(id)
  if (operation !== undefined) return operation
  throw new SallyportError(
    'SP_OPERATION_CLOSED',
    `there is no operation ${id}: sallyport dlq list shows what is dead`,
  )
}

function closed(operation: Operation): SallyportError {
  const { id, state, lastBy, lastAt, handled } = operation
  return new SallyportError(
    'SP_OPERATION_CLOSED',
    `operation ${id} was ${state} by ${operatorText(lastBy)} at ${new Date(lastAt).toISOString()}, ${handled} done; ask for a new one`,
  )
}

/** Who fenced this runner. */
async function fencedBy(desk: Desk, opened: Operation): Promise<SallyportError> {
  const operation = must(await desk.audit.read(), opened.id)
  if (operation.state !== 'open') return closed(operation)
  const isOurs = operation.lastBy.pid === process.pid && operation.lastBy.host === thisOperator().host
  return new SallyportError(
    'SP_FENCED',
    isOurs
      ? `operation ${operation.id} was taken up by somebody else just now, or this process stood still for too long: if it is still open, the same command goes on with it`
      : `operation ${operation.id} was taken up by ${operatorText(operation.lastBy)}, who goes on with it; no action needed`,
  )
}
