import type { CommanderError } from 'commander'

/**
 * Exit codes, the same for every command, so that scripts can trust them. `sallyport --help` and README.md print
 * this table; a test compares the three.
 */
export const EXIT = {
  done: 0,
  error: 1,
  usage: 2,
  nothing: 3,
  findings: 4,
  unforeseen: 70,
  interrupted: 130,
} as const

export const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  done: 'done',
  error: 'an error, whose SP_ code and advice are on standard error',
  usage: 'the command line is wrong; nothing was done',
  nothing: 'nothing was found, or what was named is not there',
  findings: 'a check has findings',
  unforeseen: 'an error that nobody foresaw, with its stack',
  interrupted: 'Ctrl-C',
}

/** A command line whose parts do not fit together; what commander finds by itself is the same to a script. */
export class UsageError extends Error {}

/** What was named is not there. */
export class NothingError extends Error {}

/** The exit code of whatever commander ended a command with. */
export function commanderExit(error: CommanderError): number {
  // Help that was asked for is done; help that is shown because a command is missing is not.
  return error.exitCode === 0 ? EXIT.done : EXIT.usage
}

/** The table for `--help`. */
export function exitCodeTable(): string {
  return Object.entries(EXIT)
    .map(([name, code]) => `  ${String(code).padEnd(4)}${EXIT_MEANINGS[name as keyof typeof EXIT]}`)
    .join('\n')
}
