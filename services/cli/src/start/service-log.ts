import { createLog, type Log } from '@sallyport/core/log'
import { pino } from 'pino'
import { prettyFactory } from 'pino-pretty'
import type { LogFile } from '../broker/log-file.ts'

/** Fields that say nothing to somebody who watches one machine. */
const NOT_SHOWN = 'pid,hostname,component,trace_id,span_id,trace_flags'

/**
 * The log of a service that runs inside `npm start`. Everything goes to a file as JSON; warnings and errors go to
 * the terminal too, as one line each, through `print` so that a spinner does not cut them.
 */
export function serviceLog(name: string, file: LogFile, print: (line: string) => void): Log {
  const line = prettyFactory({
    ignore: NOT_SHOWN,
    translateTime: 'SYS:HH:MM:ss',
    singleLine: true,
    errorLikeObjectKeys: ['err'],
  })
  return createLog(
    name,
    pino.multistream([
      { level: 'trace', stream: { write: text => file.write(text) } },
      { level: 'warn', stream: { write: text => print(line(text).trimEnd()) } },
    ]),
  )
}
