import { pino } from 'pino'

export type Log = pino.Logger

/**
 * A JSON log on standard output. Level from `LOG_LEVEL` (default `info`). Values are JSON-escaped, so nothing
 * that a sender wrote can forge a line; secrets are never passed to it.
 */
export function createLog(name: string, destination?: pino.DestinationStream): Log {
  const options: pino.LoggerOptions = {
    name,
    level: process.env.LOG_LEVEL ?? 'info',
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
  }
  return destination === undefined ? pino(options) : pino(options, destination)
}
