/** Which records an operation is about. A selection depends on records alone, so that it always picks the same. */
import type { OperationKind, Selection } from '@sallyport/core/audit'
import type { DeadLetter } from './dead-letter.ts'

/** A time as it was typed, and what it meant then. */
export interface Moment {
  readonly text: string
  readonly at: number
}

/** The filters of a command line. */
export interface Filters {
  readonly source?: readonly string[]
  readonly type?: readonly string[]
  readonly reason?: readonly string[]
  readonly code?: readonly string[]
  readonly text?: string
  readonly from?: Moment
  readonly to?: Moment
}

export function selectionOf(filters: Filters, ids: readonly string[] = []): Selection {
  return {
    ids: [...new Set(ids)],
    sources: filters.source ?? [],
    types: filters.type ?? [],
    reasons: filters.reason ?? [],
    codes: filters.code ?? [],
    text: filters.text ?? null,
    from: filters.from?.at ?? null,
    to: filters.to?.at ?? null,
  }
}

/** Whether it leaves nothing out. */
export function isAny({ ids, sources, types, reasons, codes, text, from, to }: Selection): boolean {
  const lists = [ids, sources, types, reasons, codes]
  return lists.every(list => list.length === 0) && text === null && from === null && to === null
}

const COMMANDS: Readonly<Record<OperationKind, string>> = {
  REDRIVE: 'dlq redrive',
  REPLAY: 'replay',
  DISCARD: 'dlq discard',
}

export function commandName(kind: OperationKind): string {
  return COMMANDS[kind]
}

/** The command that asks for an operation, always in the same form: whoever gives it again means the same operation. */
export function commandText(
  kind: OperationKind,
  processor: string,
  filters: Filters,
  ids: readonly string[] = [],
): string {
  const { source, type, reason, code, text, from, to } = filters
  const options = { source, type, reason, code, text, from: from?.text, to: to?.text }
  const parts = Object.entries(options).flatMap(([name, value]) => {
    const values = value === undefined ? [] : typeof value === 'string' ? [value] : [...value].sort()
    return values.map(one => `--${name} ${word(one)}`)
  })
  const named = [...new Set(ids)].sort().map(word)
  return [commandName(kind), `--processor ${processor}`, ...parts, ...named].join(' ')
}

/** What a selection says of a dead letter. `letterTimes`: whether its times are those of the dead letters. */
export function matcher(selection: Selection, letterTimes: boolean): (letter: DeadLetter) => boolean {
  const among = (values: readonly string[]): ((value: string) => boolean) => {
    const set = new Set(values)
    return value => set.size === 0 || set.has(value)
  }
  const [id, source, type] = [among(selection.ids), among(selection.sources), among(selection.types)]
  const [reason, code] = [among(selection.reasons), among(selection.codes)]
  const from = letterTimes ? (selection.from ?? Number.NEGATIVE_INFINITY) : Number.NEGATIVE_INFINITY
  const to = letterTimes ? (selection.to ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY
  const { text } = selection
  return letter =>
    id(letter.identity) &&
    source(letter.source) &&
    type(letter.type) &&
    reason(letter.reason) &&
    code(letter.code) &&
    letter.record.timestamp >= from &&
    letter.record.timestamp < to &&
    (text === null || letter.record.value?.includes(text) === true || letter.message.includes(text))
}

/** A word as a shell reads it back. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
