import { EVENT_SCHEMA } from '@sallyport/core/codec'
import { SallyportError } from '@sallyport/core/errors'
import type { Event } from '@sallyport/core/event'
import { RegistryReader } from '@sallyport/core/registry-reader'
import { type Command, InvalidArgumentError } from 'commander'
import { colors } from '../colors.ts'
import { EXIT } from '../exit.ts'
import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf, declareKafkaOptions, type KafkaOptions } from '../kafka-options.ts'
import type { DeadLetter } from '../operations/dead-letter.ts'
import { type Desk, openDesk, processorMeant, topicsOf } from '../operations/desk.ts'
import { declareFilters } from '../operations/filter-options.ts'
import { Ledger, type LetterState, letters, type Standing } from '../operations/ledger.ts'
import { declareOperation, type OperateOptions, operate } from '../operations/operate.ts'
import { partitionsOf } from '../operations/plan.ts'
import {
  type BodyText,
  bodyText,
  letterDetails,
  letterFields,
  letterLines,
  timeText,
} from '../operations/report.ts'
import { commandText, type Filters, matcher, selectionOf } from '../operations/selection.ts'
import { wholeNumber } from '../option.ts'
import { note, print, printDocument, printRecord } from '../output.ts'
import { printable } from '../printable.ts'
import { ProgressLine } from '../progress-line.ts'

interface ListOptions extends KafkaOptions, Filters {
  readonly processor?: string
  readonly state: ReadonlySet<LetterState>
  readonly limit?: number
  readonly json?: boolean
}

interface ShowOptions extends KafkaOptions {
  readonly processor?: string
  readonly json?: boolean
}

interface LetterOperationOptions extends OperateOptions, Filters {
  readonly processor?: string
}

const STATES: readonly LetterState[] = ['dead', 'waiting', 'processed', 'discarded']
const LIMIT_MAX = 1_000_000_000

const EXAMPLES = `
Examples:
  sallyport dlq list                                   what is dead, and what waits after a redrive
  sallyport dlq list --json --reason exhausted --from 2h
  sallyport dlq show crm/0c4156bbf924c72a
  sallyport dlq redrive --source crm --code SP_HANDLER_TIMEOUT      the plan; nothing is done
  sallyport dlq redrive --source crm --yes --rate 50 --why 'billing is back'
  sallyport dlq redrive --resume 118 --yes             go on after a crash or Ctrl-C
  sallyport dlq discard crm/0c4156bbf924c72a --yes`

/** `sallyport dlq list|show|redrive|discard`: a processor's dead letters. */
export function register(program: Command): void {
  const dlq = program.command('dlq').description('dead letters: list, show, redrive, discard')
  dlq.addHelpText('after', EXAMPLES)
  const list = declareFilters(dlq.command('list').description('the dead letters and where they stand'))
    .option(
      '--state <list>',
      `of ${STATES.join(', ')}, with commas`,
      statesOf,
      new Set<LetterState>(['dead', 'waiting']),
    )
    .option('--limit <n>', 'at most so many', wholeNumber(1, LIMIT_MAX))
    .option('--json', 'one JSON object a line')
  declareKafkaOptions(list).action(listLetters)
  const show = dlq.command('show').description('one event’s dead letters, with headers, attempts and body')
  show
    .argument('<id>', 'event id, as dlq list prints it')
    .option('-p, --processor <name>', 'at this processor only')
    .option('--json', 'one JSON document')
  declareKafkaOptions(show).action(showLetters)
  const redrive = declareFilters(
    dlq.command('redrive').description('send dead letters round again: the plan, then --yes'),
  )
  declareOperation(
    redrive.argument('[ids...]', 'event ids; all that the filters leave where none is named'),
    true,
  )
  redrive.action((ids: string[], options: LetterOperationOptions) =>
    operateOnLetters('REDRIVE', ids, options),
  )
  const discard = declareFilters(
    dlq.command('discard').description('hide dead letters: the plan, then --yes'),
  )
  declareOperation(
    discard.argument('[ids...]', 'event ids; all that the filters leave where none is named'),
    false,
  )
  discard.action((ids: string[], options: LetterOperationOptions) =>
    operateOnLetters('DISCARD', ids, options),
  )
}

async function operateOnLetters(
  kind: 'REDRIVE' | 'DISCARD',
  ids: readonly string[],
  options: LetterOperationOptions,
): Promise<void> {
  await operate(kind, options, async desk => {
    const processor = processorMeant(desk, options.processor)
    return {
      processor,
      selection: selectionOf(options, ids),
      command: commandText(kind, processor, options, ids),
    }
  })
}

async function listLetters(options: ListOptions): Promise<void> {
  await withDesk(options, async (desk, signal) => {
    const processors =
      options.processor === undefined ? desk.processors : [processorMeant(desk, options.processor)]
    const matches = matcher(selectionOf(options), true)
    const progress = new ProgressLine('reading')
    let found = 0
    let read = 0
    for await (const { processor, letter, standing } of standings(desk, processors)) {
      signal.throwIfAborted()
      progress.update(++read)
      if (!options.state.has(standing().state) || !matches(letter)) continue
      progress.end()
      if (options.json === true) await printRecord(letterFields(processor, letter, standing()))
      else await print(listLine(processor, letter, standing()))
      if (++found === options.limit) break
    }
    progress.end()
    if (found > 0) return
    note('no dead letters match')
    process.exitCode = EXIT.nothing
  })
}

async function showLetters(id: string, options: ShowOptions): Promise<void> {
  await withDesk(options, async (desk, signal) => {
    const processors =
      options.processor === undefined ? desk.processors : [processorMeant(desk, options.processor)]
    const found: ShownLetter[] = []
    for (const processor of processors) found.push(...(await lettersNamed(desk, processor, id, signal)))
    if (found.length === 0) {
      note(`no processor has a dead letter named ${printable(id)}`)
      process.exitCode = EXIT.nothing
      return
    }
    if (options.json === true) {
      const deadLetters = found.map(one => letterDetails(one.processor, one.letter, one.standing, one.body))
      await printDocument({ id, deadLetters })
      return
    }
    for (const { processor, letter, standing, body } of found) {
      for (const line of letterLines(processor, letter, standing, body)) await print(line)
    }
  })
}

interface ShownLetter {
  readonly processor: string
  readonly letter: DeadLetter
  readonly standing: Standing
  readonly body: BodyText
}

/** A processor's letters of an id: from where it is at home, else from where they lay before the topics grew. */
async function lettersNamed(
  desk: Desk,
  processor: string,
  id: string,
  signal: AbortSignal,
): Promise<ShownLetter[]> {
  const events = new RegistryReader<Event>(EVENT_SCHEMA, desk.registry)
  const found: ShownLetter[] = []
  for (const ids of [[id], []]) {
    for await (const { letter, standing } of standings(desk, [processor], ids)) {
      signal.throwIfAborted()
      if (letter.identity !== id) continue
      found.push({ processor, letter, standing: standing(), body: await bodyOf(events, letter) })
    }
    if (found.length > 0) break
  }
  return found
}

/** The letters of some processors, one partition after the other, with where each stands. */
async function* standings(
  desk: Desk,
  processors: readonly string[],
  ids: readonly string[] = [],
): AsyncGenerator<{ processor: string; letter: DeadLetter; standing: () => Standing }> {
  const state = await desk.audit.read()
  for (const processor of processors) {
    const partitions = [...(await desk.reader.bounds(topicsOf(processor).deadLetter)).keys()]
    const wanted = partitionsOf(ids, partitions.length)
    for (const partition of partitions.filter(one => wanted?.has(one) ?? true)) {
      const ledger = await Ledger.read(desk, processor, partition, state.operations(processor))
      for await (const letter of letters(desk, processor, partition)) {
        yield { processor, letter, standing: () => ledger.standing(letter) }
      }
    }
  }
}

/** The event's body; of what cannot be read, the record's bytes. */
async function bodyOf(events: RegistryReader<Event>, { record }: DeadLetter): Promise<BodyText> {
  const value = record.value ?? Buffer.alloc(0)
  try {
    return bodyText((await events.decode(value)).body)
  } catch (error) {
    if (error instanceof SallyportError) throw error
    return bodyText(value)
  }
}

const STATE_COLORS: Readonly<Record<LetterState, (text: string) => string>> = {
  dead: colors.red,
  waiting: colors.yellow,
  processed: colors.green,
  discarded: colors.dim,
  superseded: colors.dim,
}

function listLine(processor: string, letter: DeadLetter, { state }: Standing): string {
  const { identity, reason, code, message, record } = letter
  const color = STATE_COLORS[state]
  const rest = `${timeText(record.timestamp)}  ${processor}  ${identity}  ${reason} ${code}: ${message}`
  return `${color(state.padEnd(9))}  ${printable(rest)}`
}

function statesOf(text: string): ReadonlySet<LetterState> {
  const names = text.split(',').map(name => name.trim())
  const wrong = names.filter(name => !(STATES as readonly string[]).includes(name))
  if (wrong.length > 0) throw new InvalidArgumentError(`states are ${STATES.join(', ')}.`)
  return new Set(names as LetterState[])
}

async function withDesk(
  options: KafkaOptions,
  work: (desk: Desk, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  await interruptible(async signal => {
    const desk = await openDesk(connectionOf(options, process.env), commandLog('dlq'))
    try {
      await work(desk, signal)
    } finally {
      await desk.close()
    }
  })
}
