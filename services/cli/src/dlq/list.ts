import { colors } from '../colors.ts'
import { EXIT } from '../exit.ts'
import type { DeadLetter } from '../operations/dead-letter.ts'
import type { LetterState, Standing } from '../operations/ledger.ts'
import { letterFields, timeText } from '../operations/report.ts'
import { type Filters, matcher, selectionOf } from '../operations/selection.ts'
import { note, print, printRecord } from '../output.ts'
import { printable } from '../printable.ts'
import { ProgressLine } from '../progress-line.ts'
import { type LettersOptions, placedLetters, withLetters } from './letters.ts'

interface ListOptions extends LettersOptions, Filters {
  readonly state: ReadonlySet<LetterState>
  readonly limit?: number
}

/** `sallyport dlq list`. */
export async function listLetters(options: ListOptions): Promise<void> {
  const matches = matcher(selectionOf(options), true)
  await withLetters(options, async (desk, processors, signal) => {
    const progress = new ProgressLine('reading')
    let found = 0
    let read = 0
    for await (const { processor, letter, standing } of placedLetters(desk, processors, signal)) {
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
