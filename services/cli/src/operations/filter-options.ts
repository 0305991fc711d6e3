/** The filters that `dlq` and `replay` share. */
import { type Command, InvalidArgumentError } from 'commander'
import { moment } from '../option.ts'
import type { Moment } from './selection.ts'

/** A value that is there: an empty one is a variable of a script that was not set, and would select anything. */
function filled(value: string): string {
  if (value === '') throw new InvalidArgumentError('it is empty.')
  return value
}

/** An option that may be given more than once. */
function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), filled(value)]
}

/** A time as it was typed, and what it means now. */
function momentOf(text: string): Moment {
  return { text, at: moment(text) }
}

const REASONS = ['exhausted', 'fatal', 'poison', 'crashed']

function reasonOf(value: string, before: readonly string[] | undefined): readonly string[] {
  if (!REASONS.includes(value)) throw new InvalidArgumentError(`it must be one of ${REASONS.join(', ')}.`)
  return collect(value, before)
}

export function declareOrigin(command: Command): Command {
  return command
    .option('--source <name>', 'only events of this source; may be repeated', collect)
    .option('--type <type>', 'only events of this type; may be repeated', collect)
}

/** `what` the times are of: `dead` letters, `accepted` events. */
export function declareTimes(command: Command, what: string): Command {
  return command
    .option('--from <time>', `${what} then or later: 2h, 7d, 2026-11-24T18:30:00Z`, momentOf)
    .option('--to <time>', `${what} before`, momentOf)
}

/** What selects dead letters; `whose`: what the processor's option says. */
export function declareFilters(
  command: Command,
  whose = 'whose dead letters (default: the only processor)',
): Command {
  const named = command.option('-p, --processor <name>', whose)
  const declared = declareOrigin(named)
    .option('--reason <class>', `only these reasons: ${REASONS.join(', ')}; may be repeated`, reasonOf)
    .option('--code <code>', 'only failures with this SP_ code; may be repeated', collect)
    .option('--text <text>', 'only with this text in the payload or the failure', filled)
  return declareTimes(declared, 'dead')
}
