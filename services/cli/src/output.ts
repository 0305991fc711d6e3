/** What commands write: results on standard output, everything else on standard error. */
import { once } from 'node:events'
import { printable } from './printable.ts'

/** One line of text. Waits while the reader is slow, so that memory does not grow. */
export async function print(line = ''): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain')
}

/** The one JSON document of a command with `--json`. */
export async function printDocument(value: unknown): Promise<void> {
  await print(jsonText(value, 2))
}

/** One line of JSON of a command that streams. */
export async function printRecord(value: unknown): Promise<void> {
  await print(jsonText(value))
}

/** A remark to whoever watches: it never mixes with results. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Resolves when the reader has taken everything: Node cuts what a pipe has not taken when the process exits. */
export async function flushed(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map(
      stream => new Promise<void>(resolve => stream.write('', () => resolve())),
    ),
  )
}

/** JSON whose strings cannot steer a terminal: what JSON leaves raw of control characters is escaped as well. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replaceAll(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** A cell's text, and how it is coloured once it has its width. */
export type Cell = string | { readonly text: string; readonly color: (text: string) => string }

const GAP = '  '

/** Lines of a table with a heading. Cells may hold what others wrote. */
export function table(heading: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const cells = [heading, ...rows].map(row => row.map(cell => printable(textOf(cell))))
  const widths = heading.map((_, column) => Math.max(...cells.map(row => [...(row[column] ?? '')].length)))
  return [heading, ...rows].map((row, line) =>
    row
      .map((cell, column) => {
        const text = cells[line]?.[column] ?? ''
        const isLast = column === row.length - 1
        const colored = typeof cell === 'string' ? text : cell.color(text)
        return isLast ? colored : colored + ' '.repeat((widths[column] ?? 0) - [...text].length)
      })
      .join(GAP),
  )
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.text
}
