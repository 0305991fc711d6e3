import { createLog, type Log } from '@sallyport/core/log'
import { pino } from 'pino'
import { type PrettyOptions, prettyFactory } from 'pino-pretty'
import type { LogFile } from '../broker/log-file.ts'

/** Fields that say nothing to somebody who watches one machine. */
const NOT_SHOWN = 'pid,hostname,component,trace_id,span_id,trace_flags'

const LINE: PrettyOptions = {
  ignore: NOT_SHOWN,
  translateTime: 'SYS:HH:MM:ss',
  singleLine: true,
  errorLikeObjectKeys: ['err'],
}
const WARN = 'warn'
/** Levels that are shown on the terminal too. */
const SHOWN: ReadonlySet<unknown> = new Set([WARN, 'error', 'fatal'])

/**
 * The log of what `npm start` does for its services by itself. Everything goes to a file as JSON; warnings and errors go
 * to the terminal too, as one line each, through `print` so that a spinner does not cut them.
 */
export function serviceLog(name: string, file: LogFile, print: (line: string) => void): Log {
  const line = prettyFactory(LINE)
  return createLog(
    name,
    pino.multistream([
      { level: 'trace', stream: { write: text => file.write(text) } },
      { level: WARN, stream: { write: text => print(line(text).trimEnd()) } },
    ]),
  )
}

/** The same for the lines that a service's process writes; what is no log line is shown as it is. */
export function serviceOutput(file: LogFile, print: (line: string) => void): (lines: string) => void {
  const pretty = prettyFactory(LINE)
  return lines => {
    file.write(lines)
    for (const line of lines.trimEnd().split('\n')) {
      if (isShown(line)) print(line.startsWith('{') ? pretty(line).trimEnd() : line)
    }
  }
}

function isShown(line: string): boolean {
  if (!line.startsWith('{')) return line !== ''
  try {
    return SHOWN.has((JSON.parse(line) as { level?: unknown }).level)
  } catch {
    return true
  }
}
