/**
 * What `dlq redrive`, `dlq discard` and `replay` have in common: plan → ask → open → run → report. A plan alone writes
 * nothing; an interrupted operation stays open, and the same command goes on with it, or tells its end where it was
 * interrupted between the two (O4).
 */
import type { Operation, OperationKind } from '@sallyport/core/audit'
import { SallyportError } from '@sallyport/core/errors'
import { EXIT, UsageError } from '../exit.ts'
import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf } from '../kafka-options.ts'
import { note, print, printDocument } from '../output.ts'
import { printable } from '../printable.ts'
import { ProgressLine } from '../progress-line.ts'
import { isWanted } from '../prompt.ts'
import { type Desk, openDesk } from './desk.ts'
import type { OperateOptions } from './operate-options.ts'
import { isOrphaned, operatorText } from './operator.ts'
import { type Plan, type PlanRequest, plan } from './plan.ts'
import { operationFields, planFields, planLines } from './report.ts'
import { cancel, noteReported, occupied, open, run } from './run.ts'
import { commandName } from './selection.ts'

export async function operate(
  kind: OperationKind,
  options: OperateOptions,
  request: (desk: Desk) => Promise<Omit<PlanRequest, 'kind' | 'limit'>>,
): Promise<void> {
  if (options.resume !== undefined && options.cancel !== undefined) {
    throw new UsageError('--resume and --cancel exclude each other')
  }
  await interruptible(async signal => {
    const desk = await openDesk(connectionOf(options, process.env), commandLog('operator'))
    try {
      if (options.cancel !== undefined) await giveUp(desk, kind, options.cancel, options, signal)
      else if (options.resume !== undefined) await goOn(desk, kind, options.resume, options, signal)
      else await begin(desk, limited(kind, await request(desk), options.limit), options, signal)
    } finally {
      await desk.close()
    }
  })
}

async function begin(
  desk: Desk,
  request: PlanRequest,
  options: OperateOptions,
  signal: AbortSignal,
): Promise<void> {
  const state = await desk.audit.read()
  const holder = state.openOperation(request.processor)
  if (holder?.kind === request.kind && holder.command === request.command && isOrphaned(holder)) {
    await goOn(desk, request.kind, holder.id, options, signal)
    return
  }
  const last = state.operations(request.processor).at(-1)
  if (last?.command === request.command && isUntold(last)) {
    note(`operation ${last.id} had come to its end when its command was stopped; again, it is a new one`)
    await conclude(desk, last, options, {})
    return
  }
  if (holder !== undefined && options.yes === true) throw occupied(holder)
  const progress = new ProgressLine('counting')
  const planned = await plan(desk, state, request, count => {
    signal.throwIfAborted()
    progress.update(count)
  })
  progress.end()
  if (options.json !== true) for (const line of planLines(planned)) await print(line)
  if (holder !== undefined) note(`\n${printable(occupied(holder).message)}`)
  const isPossible = planned.count > 0 && planned.unknownIds.length === 0
  if (!isPossible) process.exitCode = EXIT.nothing
  const goesAhead = isPossible && holder === undefined && (await isWanted(question(planned), options, signal))
  if (!goesAhead) {
    if (options.json === true) await printDocument({ plan: planFields(planned) })
    return
  }
  const operation = await carryOut(desk, await open(desk, planned, options.why ?? ''), options, signal)
  await conclude(desk, operation, options, { plan: planFields(planned) })
}

/** Finished, and the process that ran it ended before it could say so. */
function isUntold(operation: Operation): boolean {
  return operation.state === 'finished' && !operation.reported && isOrphaned(operation)
}

async function goOn(
  desk: Desk,
  kind: OperationKind,
  id: number,
  options: OperateOptions,
  signal: AbortSignal,
): Promise<void> {
  const operation = await find(desk, kind, id)
  if (operation === undefined) return
  const { handled, planned, lastBy, command } = operation
  const text = `Operation ${id} is open: ${command}, ${handled} of ${planned} done, last by ${operatorText(lastBy)}`
  if (options.json !== true) await print(printable(text))
  if (!(await isWanted('Go on with it?', options, signal))) {
    if (options.json === true) await printDocument({ operation: operationFields(operation) })
    return
  }
  await conclude(desk, await carryOut(desk, operation, options, signal), options, {})
}

async function giveUp(
  desk: Desk,
  kind: OperationKind,
  id: number,
  options: OperateOptions,
  signal: AbortSignal,
): Promise<void> {
  const operation = await find(desk, kind, id)
  if (operation === undefined) return
  const { handled, planned, command } = operation
  if (options.json !== true) {
    await print(
      printable(`Operation ${id}: ${command}, ${handled} of ${planned} done; the rest would be given up`),
    )
  }
  if (!(await isWanted('Give it up?', options, signal))) {
    if (options.json === true) await printDocument({ operation: operationFields(operation) })
    return
  }
  await report(await cancel(desk, operation), options, {})
}

/** An open operation of this kind; otherwise says what is wrong. */
async function find(desk: Desk, kind: OperationKind, id: number): Promise<Operation | undefined> {
  const operation = (await desk.audit.read()).operation(id)
  if (operation === undefined || operation.state !== 'open') {
    note(`there is no open operation ${id}${operation === undefined ? '' : `: it is ${operation.state}`}`)
    process.exitCode = EXIT.nothing
    return undefined
  }
  if (operation.kind !== kind) {
    throw new UsageError(`operation ${id} is another kind: use sallyport ${commandName(operation.kind)}`)
  }
  return operation
}

async function carryOut(
  desk: Desk,
  operation: Operation,
  options: OperateOptions,
  signal: AbortSignal,
): Promise<Operation> {
  const { id, kind, planned, processor } = operation
  const progress = new ProgressLine(`${commandName(kind)} ${processor}`)
  let handled = operation.handled
  try {
    return await run(desk, operation, {
      rate: options.rate,
      signal,
      onProgress: count => {
        handled = count
        progress.update(count, planned)
      },
    })
  } catch (error) {
    progress.end()
    if (signal.aborted || (error instanceof SallyportError && error.retryable)) {
      const name = commandName(kind)
      // With everything done it was about to be closed, and may have been.
      const stays = handled < planned ? 'stays open' : 'may be open'
      note(
        `operation ${id} ${stays}, ${handled} of ${planned} done: the same command goes on with it, or sallyport ${name} --resume ${id}; sallyport ${name} --cancel ${id} gives the rest up`,
      )
    }
    throw error
  } finally {
    progress.end()
  }
}

/** Tells the end, and notes that it was told. */
async function conclude(
  desk: Desk,
  operation: Operation,
  options: OperateOptions,
  more: object,
): Promise<void> {
  await report(operation, options, more)
  // Without the note the same command would tell it once more, which does no harm.
  await noteReported(desk, operation).catch(() => {})
}

async function report(operation: Operation, options: OperateOptions, more: object): Promise<void> {
  if (options.json === true) await printDocument({ ...more, operation: operationFields(operation) })
  else await print(reportText(operation))
}

function reportText({ id, kind, state, handled, processor }: Operation): string {
  if (state === 'cancelled') return `Operation ${id} is cancelled; ${handled} had been done`
  switch (kind) {
    case 'REDRIVE':
      return `Operation ${id} sent ${handled} dead letters round again; sallyport dlq list --processor ${processor} --state waiting shows which are not processed yet`
    case 'REPLAY':
      return `Operation ${id} sent ${handled} past events to ${processor}`
    case 'DISCARD':
      return `Operation ${id} discarded ${handled} dead letters; sallyport dlq list --processor ${processor} --state discarded shows them`
  }
}

function question({ kind, count }: Plan): string {
  switch (kind) {
    case 'REDRIVE':
      return `Send ${count} dead letters round again?`
    case 'REPLAY':
      return `Run ${count} past events again?`
    case 'DISCARD':
      return `Discard ${count} dead letters?`
  }
}

/** With a limit it is another operation than without. */
function limited(
  kind: OperationKind,
  request: Omit<PlanRequest, 'kind' | 'limit'>,
  limit: number | undefined,
): PlanRequest {
  if (limit === undefined) return { ...request, kind }
  if (request.selection.ids.length > 0) throw new UsageError('ids and --limit exclude each other')
  return { ...request, kind, limit, command: `${request.command} --limit ${limit}` }
}
