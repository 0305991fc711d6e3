import { type Command, InvalidArgumentError } from 'commander'
import { declareKafkaOptions } from '../kafka-options.ts'
import { declareFilters } from '../operations/filter-options.ts'
import type { LetterState } from '../operations/ledger.ts'
import { declareOperation } from '../operations/operate-options.ts'
import { wholeNumber } from '../option.ts'

const STATES: readonly LetterState[] = ['dead', 'waiting', 'processed', 'discarded']
const LIMIT_MAX = 1_000_000_000

const EXAMPLES = {
  list: `
  sallyport dlq list                                   what is dead, and what waits after a redrive
  sallyport dlq list --json --reason exhausted --from 2h`,
  show: `
  sallyport dlq show crm/0c4156bbf924c72a`,
  redrive: `
  sallyport dlq redrive --source crm --code SP_HANDLER_TIMEOUT      the plan; nothing is done
  sallyport dlq redrive --source crm --yes --rate 50 --why 'billing is back'
  sallyport dlq redrive --resume 118 --yes             go on after a crash or Ctrl-C`,
  discard: `
  sallyport dlq discard crm/0c4156bbf924c72a --yes`,
}

/** `sallyport dlq list|show|redrive|discard`: a processor's dead letters. */
export function register(program: Command): void {
  const dlq = program.command('dlq').description('dead letters: list, show, redrive, discard')
  dlq.addHelpText('after', examples(...Object.values(EXAMPLES)))
  const list = declareFilters(
    dlq.command('list').description('the dead letters and where they stand'),
    'of this processor only (default: of all)',
  )
    .option(
      '--state <list>',
      `of ${STATES.join(', ')}, with commas`,
      statesOf,
      new Set<LetterState>(['dead', 'waiting']),
    )
    .option('--limit <n>', 'at most so many', wholeNumber(1, LIMIT_MAX))
    .option('--json', 'one JSON object a line')
    .addHelpText('after', examples(EXAMPLES.list))
  declareKafkaOptions(list).action(
    async options => await (await import('../dlq/list.ts')).listLetters(options),
  )
  const show = dlq.command('show').description('one event’s dead letters, with headers, attempts and body')
  show
    .argument('<id>', 'event id, as dlq list prints it')
    .option('-p, --processor <name>', 'of this processor only (default: of all)')
    .option('--json', 'one JSON document')
    .addHelpText('after', examples(EXAMPLES.show))
  declareKafkaOptions(show).action(
    async (id, options) => await (await import('../dlq/show.ts')).showLetters(id, options),
  )
  const redrive = declareFilters(
    dlq.command('redrive').description('send dead letters round again: the plan, then --yes'),
  )
  declareOperation(
    redrive.argument('[ids...]', 'event ids; all that the filters leave where none is named'),
    true,
  )
  redrive
    .addHelpText('after', examples(EXAMPLES.redrive))
    .action(async (ids, options) =>
      (await import('../dlq/operate.ts')).operateOnLetters('REDRIVE', ids, options),
    )
  const discard = declareFilters(
    dlq.command('discard').description('hide dead letters: the plan, then --yes'),
  )
  declareOperation(
    discard.argument('[ids...]', 'event ids; all that the filters leave where none is named'),
    false,
  )
  discard
    .option('--all', 'all dead letters of the processor; --yes does not do that for want of ids and filters')
    .addHelpText('after', examples(EXAMPLES.discard))
    .action(async (ids, options) =>
      (await import('../dlq/operate.ts')).operateOnLetters('DISCARD', ids, options),
    )
}

function examples(...texts: readonly string[]): string {
  return `\nExamples:${texts.join('')}`
}

function statesOf(text: string): ReadonlySet<LetterState> {
  const names = text.split(',').map(name => name.trim())
  const wrong = names.filter(name => !(STATES as readonly string[]).includes(name))
  if (wrong.length > 0) throw new InvalidArgumentError(`states are ${STATES.join(', ')}.`)
  return new Set(names as LetterState[])
}
