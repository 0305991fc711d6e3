/** How plans, operations and dead letters are shown: fields for JSON, lines for people. */

import { type AttemptRecord, parseHistory } from '@sallyport/core/attempt'
import type { Operation } from '@sallyport/core/audit'
import { HEADER } from '@sallyport/core/headers'
import { headerText } from '@sallyport/core/kafka/group-consumer'
import { requestLine } from '../events/request-line.ts'
import { printable } from '../printable.ts'
import type { Candidate } from './candidates.ts'
import type { DeadLetter } from './dead-letter.ts'
import { topicsOf } from './desk.ts'
import type { Standing } from './ledger.ts'
import { operatorText } from './operator.ts'
import type { Plan } from './plan.ts'

export function timeText(at: number): string {
  return new Date(at).toISOString()
}

export function operationFields(operation: Operation) {
  const { id, kind, processor, state, command, why, planned, handled, startedBy, startedAt, lastBy, lastAt } =
    operation
  return {
    id,
    kind: kind.toLowerCase(),
    processor,
    state,
    command,
    why,
    planned,
    handled,
    startedBy,
    startedAt: timeText(startedAt),
    lastBy,
    lastAt: timeText(lastAt),
  }
}

export function planFields(plan: Plan) {
  const { kind, processor, command, count, leftOut, bySource, byReason, oldestAt, newestAt, unknownIds } =
    plan
  return {
    kind: kind.toLowerCase(),
    processor,
    command,
    count,
    would: would(plan),
    leftOut,
    bySource,
    byReason,
    oldestAt: oldestAt === null ? null : timeText(oldestAt),
    newestAt: newestAt === null ? null : timeText(newestAt),
    unknownIds,
    sample: plan.sample.map(({ id, source, type, reason, record }) => ({
      id,
      source,
      type,
      ...(reason === '' ? {} : { reason }),
      at: timeText(record.timestamp),
    })),
  }
}

export function planLines(plan: Plan): string[] {
  const { count, leftOut, bySource, byReason, oldestAt, newestAt, sample, unknownIds } = plan
  const left = Object.entries(leftOut).filter(([, number]) => number > 0)
  const lines = [`Plan: ${plan.command}`, `  would ${would(plan)}`]
  if (oldestAt !== null && newestAt !== null) {
    lines.push(`  from ${timeText(oldestAt)} to ${timeText(newestAt)}`)
  }
  if (count > 0) lines.push(`  sources: ${groups(bySource)}`)
  if (Object.keys(byReason).length > 0) lines.push(`  reasons: ${groups(byReason)}`)
  if (left.length > 0) {
    lines.push(`  left out: ${left.map(([state, number]) => `${number} already ${state}`).join(', ')}`)
  }
  lines.push(...sample.map(sampleLine))
  if (count > sample.length) lines.push(`  … and ${count - sample.length} more`)
  lines.push(...unknownIds.map(id => `  no dead letter of ${plan.processor} is named ${id}`))
  return lines.map(printable)
}

/** A dead letter in a list, for machines. */
export function letterFields(processor: string, letter: DeadLetter, { state, operation }: Standing) {
  const { identity, key, source, type, reason, code, message, attempt, generation, record, traceId } = letter
  return {
    processor,
    id: identity,
    ...(key !== identity ? { key } : {}),
    state,
    source,
    type,
    reason,
    code,
    message,
    attempt,
    deadAt: timeText(record.timestamp),
    partition: record.partition,
    offset: record.offset,
    ...(generation === 0 ? {} : { generation }),
    ...(operation === undefined ? {} : { operation: operation.id }),
    ...(traceId === undefined ? {} : { traceId }),
  }
}

/** A dead letter with all that it carries, for machines. */
export function letterDetails(
  processor: string,
  letter: DeadLetter,
  standing: Standing,
  body: LetterContent,
) {
  const { record, origin } = letter
  const headers = Object.entries(record.headers).map(([name]) => [name, headerText(record.headers, name)])
  return {
    ...letterFields(processor, letter, standing),
    ...(origin === null ? {} : { origin }),
    gaveUp: letter.processor,
    attempts: attemptsOf(letter),
    headers: Object.fromEntries(headers),
    ...body,
  }
}

/** The same for people. */
export function letterLines(
  processor: string,
  letter: DeadLetter,
  { state, operation }: Standing,
  body: LetterContent,
): string[] {
  const { record, identity, key, source, type, reason, code, message, traceId, generation } = letter
  const place = `${record.topic}/${record.partition}/${record.offset}`
  const facts: [string, string | undefined][] = [
    ['processor', `${processor}, given up by ${letter.processor}`],
    ['key', key === identity ? undefined : key],
    ['source', `${source}, type ${type}`],
    ['dead since', `${timeText(record.timestamp)} at ${place}`],
    ['reason', `${reason} ${code}: ${message}`],
    ['generation', generation === 0 ? undefined : `${generation}`],
    ['operation', operation === undefined ? undefined : operationLine(operation)],
    ['trace', traceId],
    ['request', requestLine(body)],
  ]
  return [
    `${identity}  ${state}`,
    ...facts.flatMap(([name, text]) => (text === undefined ? [] : [`  ${name.padEnd(11)}${text}`])),
    ...attemptsOf(letter).map(attemptLine),
    ...Object.keys(record.headers).map(name => `  ${name}: ${headerText(record.headers, name)}`),
    ...('body' in body
      ? body.body.split('\n').map(line => `  | ${line}`)
      : [`  | base64: ${body.bodyBase64}`]),
  ].map(printable)
}

/** An event's body: text, or base64 where it is none. */
export type BodyText = { readonly body: string } | { readonly bodyBase64: string }

/** What a letter's event says: its body, and method and query where it has data there. */
export type LetterContent = BodyText & { readonly method?: string; readonly query?: string }

export function bodyText(bytes: Buffer): BodyText {
  try {
    return { body: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch {
    return { bodyBase64: bytes.toString('base64') }
  }
}

/** The attempts before the letter, oldest first. */
function attemptsOf(letter: DeadLetter): readonly AttemptRecord[] {
  return parseHistory(headerText(letter.record.headers, HEADER.history))
}

function attemptLine({ attempt, startedAt, durationMs, code, message }: AttemptRecord): string {
  return `  attempt ${attempt} at ${new Date(startedAt).toISOString()}, ${durationMs} ms: ${code} ${message}`
}

function operationLine({ id, kind, startedBy, startedAt, why }: Operation): string {
  const reason = why === '' ? '' : `: ${why}`
  return `${id}, ${kind.toLowerCase()} by ${operatorText(startedBy)} at ${timeText(startedAt)}${reason}`
}

function would({ kind, processor, count }: Plan): string {
  const { redrive } = topicsOf(processor)
  switch (kind) {
    case 'REDRIVE':
      return `send ${count} dead letters round again through ${redrive}, each once, as a new generation`
    case 'REPLAY':
      return `run ${count} past events again at ${processor} alone, through ${redrive}, as a new generation`
    case 'DISCARD':
      return `hide ${count} dead letters of ${processor}; they stay in the topic until retention takes them`
  }
}

function groups(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([name, number]) => `${name || 'none'} ${number}`)
    .join(', ')
}

function sampleLine({ id, type, reason, record }: Candidate): string {
  return `  ${id}  ${type}  ${timeText(record.timestamp)}${reason === '' ? '' : `  ${reason}`}`
}
