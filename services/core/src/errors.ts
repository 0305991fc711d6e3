/**
 * Every error that Sallyport raises on purpose carries a code of this catalogue. The entry says what the code
 * means and what to do; DESIGN.md prints the same table (a test compares the two).
 */
export const ERROR_CATALOGUE = {
  SP_SETTINGS: 'A setting is missing or wrong; nothing was started. Correct what the message names.',
  SP_SECRET_MISSING: 'A secret is empty or its variable or file is missing; nothing was started. Set it.',
  SP_BROKER_UNREACHABLE:
    'No Kafka broker answers. Check KAFKA_BROKERS and that the brokers run; the service keeps trying.',
  SP_BROKER_MISSING:
    'npm start found no way to a broker: set KAFKA_BROKERS, start Docker, or install Java 17 and Maven.',
  SP_BROKER_FAILED:
    'The broker or registry that npm start brought up stopped or never answered. Its log says why; starting again is safe.',
  SP_REGISTRY_UNREACHABLE:
    'The schema registry does not answer, or has lost schemas that it had. Check SCHEMA_REGISTRY_URL; the service keeps trying, and takes nothing for unreadable meanwhile.',
  SP_SCHEMA_INCOMPATIBLE:
    'The registry refuses a schema as incompatible with an earlier version. Make the change backward compatible.',
  SP_TOPIC_MISMATCH:
    'A topic exists with other settings than sallyport.yaml asks for. The message names the command that mends it.',
  SP_PARTITION_COUNT:
    'Topics that must be co-partitioned differ in their partition counts; dedupe would break. Run: npx sallyport topics grow.',
  SP_NOT_PUBLISHED: 'Kafka did not acknowledge a record in time; the sender got 503 and will send again.',
  SP_OVERLOADED: 'More bytes are in flight than the limit allows; the sender got 503 and will send again.',
  SP_FENCED:
    'A partition has a newer owner, or a transaction took longer than processing.transactionTimeout; nothing was committed. No action needed unless it repeats.',
  SP_TRANSACTION:
    'A transaction failed; the processor leaves the group and starts from its last settled state. No action needed unless it repeats.',
  SP_RESTORE: 'The claims of a partition could not be read back; the processor starts again.',
  SP_CLAIMS_MEMORY:
    'The claims take all the memory that they may; no new events are taken until some expire, retries go on. Raise processing.claimsBytesMax, shorten the window, or add processes.',
  SP_POSITION_EXPIRED:
    'Records expired before they were processed, or a position did while its processor was stopped; then it begins at the first event that is kept. Raise retention; look for a stopped processor.',
  SP_CLAIM_ORPHANED:
    'Events waited for a retry that is in no tier any more: its record expired, or the tier was deleted. Their ids are let go; replay what is still in sallyport.events. Look for a stopped processor.',
  SP_SOURCE_NOT_TAKEN:
    'An event was in a tier or sent round again, and its processor no longer takes its source; it is in the dead letter. Redrive it once the processor takes the source again, or discard it.',
  SP_BEHIND_WINDOW:
    'Events have waited for longer than the window: what among them repeats an event that was processed before is a new event by now. Look for a pause or a stopped processor; a longer window covers longer waits.',
  SP_TOPIC_RECREATED:
    'A topic was deleted and made again, or lost its end. It is read from where nothing is lost and claims keep out what took effect.',
  SP_BROKER_CLOCK:
    'A broker’s clock differs from the others’, or leapt, by more than a minute. It is not believed until most brokers agree for a minute; no claim is forgotten early. Set the broker’s clock right.',
  SP_CLAIMS_MISSING:
    'The claims topic of a processor that has run is gone; nothing was started. To accept that ids of the window may take effect again, run: npx sallyport topics apply.',
  SP_STALLED:
    'A transaction that was left open keeps readers of a partition from what lies behind it. Find it with kafka-transactions.sh find-hanging, and abort it.',
  SP_HELD_BACK:
    'A partition failed again and again and is held back: its events wait in Kafka, the other partitions go on, and it is tried again after a growing delay. The log says what it fails with.',
  SP_BLOCKED:
    'The process stood still for long: a handler computes without awaiting, or the machine was stopped. Its partitions may have moved; nothing took effect twice. Move the work to a worker thread.',
  SP_SETTINGS_DIFFER:
    'Processes of one processor run with different settings; each partition follows those of its owner. Expected during a deployment; afterwards look for two processors of one name.',
  SP_POISON: 'A record cannot be decoded; it is in the dead letter with its original bytes.',
  SP_MISPLACED:
    'A record lies on a partition that its key does not belong to; it is in the dead letter. A redrive sends it home; use the Java-compatible partitioner.',
  SP_HANDLER_FAILED: 'The handler threw; the event goes to the next retry tier or to the dead letter.',
  SP_HANDLER_TIMEOUT:
    'The handler ran past its timeout; the event goes to the next retry tier or to the dead letter.',
  SP_HANDLER_CRASHED:
    'The handler ended its process: an exception that nobody can catch, a full heap, or a computation without end. After the third time the event is in the dead letter.',
  SP_HANDLER_LOOSE_END:
    'Something that a handler left running failed after its attempt had ended; the outcome of the attempt stands. Await what the handler starts.',
  SP_HANDLER_FATAL: 'The handler said that no retry can help; the event is in the dead letter.',
  SP_EMIT: 'A handler emitted a value that its topic does not take: unknown topic, wrong shape or too large.',
  SP_PROCESSOR: 'A processor module is missing, fails to load or is defined wrongly; nothing was started.',
  SP_SUBSCRIBER_STOPPED:
    'A subscription stopped at a record that nobody takes over; nothing was passed over. Mend the handler, or give onPoison or onExhausted, and start again.',
  SP_ALREADY_RUNNING: 'Another npm start runs in this folder. Stop it first.',
  SP_PORT_TAKEN: 'A port is taken by another program. Free it or set another one.',
  SP_DATA_CORRUPT: 'The broker cannot use its data folder. Move .sallyport away to start afresh.',
  SP_DISK_FULL: 'There is too little disk for the broker. Free some.',
  SP_OPERATION_OPEN:
    'An operation on this processor is open, and excludes others. Wait for its end, go on with it or give it up: the message says how.',
  SP_OPERATION_CLOSED: 'An operation is finished, cancelled or was never there. Ask for a new one.',
  SP_INDEX:
    'The index of events cannot be read or written, or has not yet read what was asked for. The message says what to do; its file may be removed at any time: it is filled again from the topics.',
  SP_NOT_RUNNING: 'Nothing runs here to talk to. Run npm start first, or name the ingress.',
} as const

export type ErrorCode = keyof typeof ERROR_CATALOGUE

/** An error with a stable code, and a message that ends with what to do. */
export class SallyportError extends Error {
  readonly code: ErrorCode
  /** Whether trying the same again can help. */
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryable?: boolean } = {}) {
    super(`${code}: ${message}`, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'SallyportError'
    this.code = code
    this.retryable = options.retryable ?? false
  }
}

/** The message of anything that was thrown, as one line. Never throws, whatever it is. */
export function errorMessage(error: unknown): string {
  return textOf(error).replaceAll(/\s+/g, ' ').trim()
}

function textOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error)
  } catch {
    return `a value of type ${typeof error} that cannot be printed`
  }
}
