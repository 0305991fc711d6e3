import { createInterface } from 'node:readline/promises'
import { UsageError } from './exit.ts'
import { note } from './output.ts'

/**
 * Asks for a yes; anything else, and an input that ends, is a no. Ctrl-C interrupts the command as everywhere.
 * Without a terminal nobody can be asked: throws a usage error that names `--yes`.
 */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UsageError('nobody can be asked here: add --yes to go ahead')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  // In raw mode Ctrl-C is a key, not a signal; and no Enter has ended the line.
  lines.on('SIGINT', () => {
    process.stderr.write('\n')
    process.kill(process.pid, 'SIGINT')
  })
  const ended = new Promise<undefined>(resolve => lines.once('close', () => resolve(undefined)))
  try {
    const answer = await Promise.race([lines.question(`${question} [y/N] `, { signal }), ended])
    if (answer === undefined) process.stderr.write('\n')
    return /^y(es)?$/i.test(answer?.trim() ?? '')
  } finally {
    lines.close()
  }
}

/** `--yes`, or a yes on a terminal. Where nobody can be asked the plan is all there is. */
export async function isWanted(
  question: string,
  options: { readonly yes?: boolean; readonly json?: boolean },
  signal: AbortSignal,
): Promise<boolean> {
  if (options.yes === true) return true
  if (options.json === true || process.stdin.isTTY !== true) {
    note('nothing was done: add --yes to run it')
    return false
  }
  return await confirm(question, signal)
}
