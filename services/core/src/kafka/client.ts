import './kafkajs-aborted.ts'
import './kafkajs-batches.ts'
import './kafkajs-connection.ts'
import './kafkajs-coordinator.ts'
import './kafkajs-leaderless.ts'
import './kafkajs-records.ts'
import './kafkajs-request-queue.ts'
import './kafkajs-runner.ts'
import kafkajs from 'kafkajs'
import type { Connection } from '../connection.ts'
import type { Log } from '../log.ts'

/** What only kafkajs's log tells: it then goes on from another offset, silently. */
const ALARMING = /Offset out of range, resetting/

/**
 * A kafkajs client.
 *
 * - `retry`: short first pauses, where the default sleeps 300 ms; about 11 s in all, which outlasts a leader's failover.
 * - The log speaks the product's format, at debug: kafkajs logs as errors what it retries by itself, and what it
 *   gives up reaches us as an exception.
 */
export function createKafka(connection: Connection, clientId: string, log: Log): kafkajs.Kafka {
  const kafkaLog = log.child({ component: 'kafkajs' })
  return new kafkajs.Kafka({
    clientId,
    brokers: [...connection.brokers],
    connectionTimeout: 3_000,
    requestTimeout: 15_000,
    enforceRequestTimeout: true,
    retry: { initialRetryTime: 5, multiplier: 1.6, factor: 0.2, maxRetryTime: 500, retries: 32 },
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => entry => {
      const { message, timestamp: _timestamp, logger: _logger, stack: _stack, ...fields } = entry.log
      kafkaLog[ALARMING.test(message) ? 'error' : 'debug'](fields, message)
    },
  })
}

/** The broker's name of a protocol error anywhere in an error's chain of causes, e.g. `INVALID_PRODUCER_EPOCH`. */
export function protocolErrorType(error: unknown): string | undefined {
  for (
    let e = error, depth = 0;
    e instanceof Error && depth < 8;
    e = (e as { cause?: unknown }).cause, depth++
  ) {
    const type = (e as { type?: unknown }).type
    if (typeof type === 'string') return type
    const original = (e as { originalError?: unknown }).originalError
    if (original instanceof Error && typeof (original as { type?: unknown }).type === 'string') {
      return (original as unknown as { type: string }).type
    }
  }
  return undefined
}
