import { type ErrorCode, errorMessage, SallyportError } from '@sallyport/core/errors'
import { colors } from '../colors.ts'
import { EXIT } from '../exit.ts'
import { print, printDocument, table } from '../output.ts'

/** What a check saw. A problem keeps something from working; a warning will, or may; a notice would elsewhere. */
export interface Finding {
  /** What was looked at: `node`, `source crm`, `topics` … */
  readonly about: string
  readonly state: 'ok' | 'notice' | 'warning' | 'problem'
  /** What is so and, where it is not ok, what to do. */
  readonly text: string
  /** The error's code, where it is one of the catalogue. */
  readonly code?: ErrorCode
}

export function ok(about: string, text: string): Finding {
  return { about, state: 'ok', text }
}

export function notice(about: string, text: string): Finding {
  return { about, state: 'notice', text }
}

export function warning(about: string, text: string): Finding {
  return { about, state: 'warning', text }
}

/** What was thrown, as a problem. Throws on what nobody foresaw. */
export function problem(about: string, error: unknown): Finding {
  if (!(error instanceof SallyportError)) throw error
  return {
    about,
    state: 'problem',
    text: errorMessage(error).replace(`${error.code}: `, ''),
    code: error.code,
  }
}

const COLORS = { ok: colors.green, notice: colors.cyan, warning: colors.yellow, problem: colors.red }

/** Prints findings, as a table or one JSON document, and sets the exit code: `findings` where something wants doing. */
export async function report(findings: readonly Finding[], json: boolean): Promise<void> {
  if (json) await printDocument(findings)
  else await printFindings(findings)
  if (findings.some(({ state }) => state === 'warning' || state === 'problem'))
    process.exitCode = EXIT.findings
}

export async function printFindings(findings: readonly Finding[]): Promise<void> {
  const rows = findings.map(({ about, state, text }) => [{ text: state, color: COLORS[state] }, about, text])
  for (const line of table(['state', 'about', 'finding'], rows)) await print(line)
}
