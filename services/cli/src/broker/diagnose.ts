import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type ErrorCode, SallyportError } from '@sallyport/core/errors'
import type { Exit } from './daemon.ts'
import { dataCorrupt } from './kafka-server.ts'

/** What is known of a broker or registry that did not come up. */
export interface FailedStart {
  /** For people: `broker`, `schema registry`. */
  readonly name: string
  /** Undefined when it still runs but did not answer in time. */
  readonly exit: Exit | undefined
  /** Last lines of its log, oldest first. */
  readonly tail: readonly string[]
  readonly logPath: string
  readonly dataFolder: string
}

const METADATA_FOLDER = '__cluster_metadata-0'
/** Kafka says so when it elects itself over nothing: right for a new folder, a loss for any other. */
const METADATA_LOST = /The metadata log appears to be empty/

const CAUSES: readonly { pattern: RegExp; code: ErrorCode; remedy: string }[] = [
  {
    pattern: /No space left on device/,
    code: 'SP_DISK_FULL',
    remedy: 'the disk is full: free some space and start again',
  },
  {
    pattern: /Failed to acquire lock on file .lock/,
    code: 'SP_ALREADY_RUNNING',
    remedy: 'another broker uses the same data: stop it and start again',
  },
  {
    pattern: /Address already in use|BindException|port is already allocated/,
    code: 'SP_PORT_TAKEN',
    remedy: 'its port was taken in this very moment by another program: start again',
  },
  {
    pattern: /OutOfMemoryError|Could not reserve enough space|insufficient memory/,
    code: 'SP_BROKER_FAILED',
    remedy: 'there is too little memory: free about 1 GiB and start again',
  },
]

/** Signs in a dying broker's log that what it read from disk was wrong. */
const CORRUPT =
  /KafkaStorageException|CorruptRecordException|InconsistentClusterIdException|log dirs in .* have failed|Malformed line in checkpoint|Error while reading|InvalidRecordException|meta\.properties|starting SharedServer|Caused by: java\.io\.(EOF|IO)Exception/

/** Why a broker or registry did not come up, in one sentence with what to do. */
export function startFailure(failed: FailedStart): SallyportError {
  const text = failed.tail.join('\n')
  const cause = CAUSES.find(({ pattern }) => pattern.test(text))
  if (cause !== undefined) {
    return new SallyportError(
      cause.code,
      `the ${failed.name} did not start; ${cause.remedy} (log: ${failed.logPath})`,
    )
  }
  if (failed.name === 'broker' && failed.exit !== undefined && CORRUPT.test(text)) {
    return dataCorrupt(`${lastError(failed.tail)} (log: ${failed.logPath})`, failed.dataFolder)
  }
  const how = failed.exit === undefined ? 'does not answer in time' : `stopped (${exitText(failed.exit)})`
  return new SallyportError(
    'SP_BROKER_FAILED',
    `the ${failed.name} ${how}: ${lastError(failed.tail)}; its log is ${failed.logPath}, and starting again is safe`,
  )
}

/** `exit 1` or the signal's name. */
export function exitText(exit: Exit): string {
  return exit.signal ?? `exit ${exit.code}`
}

/** Whether a data folder has held a cluster's metadata before; throws `SP_DATA_CORRUPT` when it has lost it. */
export function hasMetadata(dataFolder: string): boolean {
  const folder = join(dataFolder, METADATA_FOLDER)
  if (!existsSync(folder)) throw dataCorrupt(`${folder} is missing`, dataFolder)
  return readdirSync(folder).some(name => name.endsWith('.log') && statSync(join(folder, name)).size > 0)
}

/** Whether the broker has just found the metadata of a used folder gone; it must not go on then. */
export function metadataLost(tail: readonly string[]): boolean {
  return tail.some(line => METADATA_LOST.test(line))
}

/** The message of the last error line, cut to one readable length. */
function lastError(tail: readonly string[]): string {
  const line = tail.findLast(entry => /\b(ERROR|FATAL)\b|Exception:|^Error/.test(entry)) ?? tail.at(-1)
  if (line === undefined) return 'it left no word'
  return line
    .replace(/^[\d\- :.+]*(\[[^\]]*\] )?(ERROR |FATAL )?/, '')
    .trim()
    .slice(0, 200)
}
