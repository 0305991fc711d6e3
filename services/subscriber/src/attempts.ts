/** One record on its way through the handler: decoded, tried, tried again, or handed to a callback. */
import { setTimeout as sleep } from 'node:timers/promises'
import { context } from '@opentelemetry/api'
import type { SchemaTypes } from '@sallyport/core/contract'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import type { Decoded, RawRecord, RecordDecoder } from './decode.ts'
import type { CheckedOptions, SchemaName, SubscribedRecord } from './options.ts'

/** Pauses while the registry does not answer: doubled each time, up to the longest, for as long as it takes. */
const REGISTRY_PAUSE_MS = { first: 250, longest: 10_000 }

export interface LaneSignals {
  /** The handler must end: its partition is lost, or stopping took too long. */
  readonly abort: AbortSignal
  /** Nothing new may begin. */
  readonly drain: AbortSignal
}

export class Attempts<S extends SchemaName> {
  readonly #options: CheckedOptions<S>
  readonly #decoder: RecordDecoder<S>

  constructor(options: CheckedOptions<S>, decoder: RecordDecoder<S>) {
    this.#options = options
    this.#decoder = decoder
  }

  /**
   * True: the record is handled, or a callback took it over. False: told to stop first. Throws
   * `SP_SUBSCRIBER_STOPPED` when nobody takes it over.
   */
  async pass(raw: RawRecord, signals: LaneSignals): Promise<boolean> {
    const decoded = await this.#decode(raw, signals.drain)
    if (decoded === undefined) return false
    if (decoded.kind === 'record') return await this.#handle(decoded.record, signals)
    const { onPoison, log } = this.#options
    const { poison } = decoded
    log('warn', 'a record cannot be decoded', { place: placeText(raw), reason: poison.reason })
    await takeOver(placeText(raw), poison.reason, onPoison && (() => onPoison(poison)), 'onPoison')
    return true
  }

  /** Undefined when told to stop while the registry was away, or not yet believed. */
  async #decode(raw: RawRecord, drain: AbortSignal): Promise<Decoded<SchemaTypes[S]> | undefined> {
    for (
      let pauseMs = REGISTRY_PAUSE_MS.first;
      ;
      pauseMs = Math.min(2 * pauseMs, REGISTRY_PAUSE_MS.longest)
    ) {
      try {
        return await this.#decoder.decode(raw, drain)
      } catch (error) {
        this.#options.log('warn', errorMessage(error), { place: placeText(raw), againInMs: pauseMs })
        if (!(await paused(pauseMs, drain))) return undefined
      }
    }
  }

  async #handle(record: SubscribedRecord<SchemaTypes[S]>, signals: LaneSignals): Promise<boolean> {
    const { handler, retryDelaysMs, onExhausted, log } = this.#options
    for (let attempt = 1; ; attempt++) {
      try {
        await context.with(record.context, () => handler(record, { signal: signals.abort, attempt }))
        return true
      } catch (error) {
        if (signals.abort.aborted) return false
        const place = `${record.topic}/${record.partition}/${record.offset}`
        const delayMs = retryDelaysMs[attempt - 1]
        log('warn', 'the handler failed', {
          place,
          id: record.cloudEvent.id,
          attempt,
          error: errorMessage(error),
        })
        if (delayMs === undefined) {
          const reason = `the handler failed ${attempt} times: ${errorMessage(error)}`
          await takeOver(place, reason, onExhausted && (() => onExhausted(record, error)), 'onExhausted')
          return true
        }
        if (!(await paused(delayMs, signals.drain))) return false
      }
    }
  }
}

/** Hands a record that cannot be handled to its callback. Throws where there is none, or where it fails. */
async function takeOver(
  place: string,
  reason: string,
  callback: (() => Promise<void> | void) | undefined,
  name: string,
): Promise<void> {
  if (callback === undefined) {
    throw new SallyportError(
      'SP_SUBSCRIBER_STOPPED',
      `stopped at ${place} (${reason}); nothing was passed over. Mend what fails and start again, or give ${name}`,
    )
  }
  try {
    await callback()
  } catch (error) {
    throw new SallyportError(
      'SP_SUBSCRIBER_STOPPED',
      `stopped at ${place}: ${name} failed (${errorMessage(error)}); nothing was passed over. Mend it and start again`,
      { cause: error },
    )
  }
}

/** Whether the whole pause went by. */
async function paused(pauseMs: number, drain: AbortSignal): Promise<boolean> {
  try {
    await sleep(pauseMs, undefined, { signal: drain })
    return true
  } catch {
    return false
  }
}

function placeText({ topic, partition, message }: RawRecord): string {
  return `${topic}/${partition}/${message.offset}`
}
