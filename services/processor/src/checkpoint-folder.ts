/** Decides whether a checkpoint may be used; whatever is wrong with one, the claims topic has everything. */
import type { Clock } from '@sallyport/core/clock'
import { errorMessage } from '@sallyport/core/errors'
import type { TopicIdentity } from '@sallyport/core/kafka/topic-identity'
import type { Log } from '@sallyport/core/log'
import { CLAIMS_DELETE_RETENTION_MS } from '@sallyport/core/topics'
import { Checkpoint, type CheckpointHead } from './checkpoint.ts'

/** What a task that has acquired its partition asks for. */
export interface CheckpointRequest {
  readonly topic: string
  readonly partition: number
  /** Names the acquisition. */
  readonly owner: string
  /** Offsets of the claims partition: the first that is kept, and one past this acquisition's barrier. */
  readonly low: number
  readonly high: number
}

export interface OpenedCheckpoint {
  readonly file: Checkpoint
  /** What it says; undefined where all is to be read from the topic. */
  readonly head: CheckpointHead | undefined
}

export class CheckpointFolder {
  readonly #folder: string
  readonly #identify: (topic: string) => Promise<TopicIdentity>
  readonly #clock: Clock
  readonly #log: Log
  #identity: Promise<TopicIdentity> | undefined

  /** For one processor's assignment: its topic is asked for its identity once. */
  constructor(folder: string, identify: (topic: string) => Promise<TopicIdentity>, clock: Clock, log: Log) {
    this.#folder = folder
    this.#identify = identify
    this.#clock = clock
    this.#log = log
  }

  /** Undefined where none can be kept. */
  async open(request: CheckpointRequest): Promise<OpenedCheckpoint | undefined> {
    const { topic, partition, owner } = request
    try {
      this.#identity ??= this.#identify(topic)
      const file = this.#openFile({ topic, partition, ...(await this.#identity) })
      try {
        const head = file.own(owner)
        if (this.#isOfUse(head, request)) return { file, head }
        file.clear()
        return { file, head: undefined }
      } catch (error) {
        file.close()
        throw error
      }
    } catch (error) {
      this.#log.warn(
        { partition, error: errorMessage(error) },
        'no checkpoint; all claims come from the topic',
      )
      return undefined
    }
  }

  #openFile(subject: Parameters<typeof Checkpoint.open>[1]): Checkpoint {
    try {
      return Checkpoint.open(this.#folder, subject)
    } catch (error) {
      this.#log.warn(
        { partition: subject.partition, error: errorMessage(error) },
        'a damaged checkpoint is gone',
      )
      return Checkpoint.open(this.#folder, subject)
    }
  }

  #isOfUse(head: CheckpointHead | undefined, { partition, low, high }: CheckpointRequest): boolean {
    if (head === undefined) return false
    const { offset, savedAt } = head
    const ageMs = this.#clock() - savedAt
    const reason = reasonAgainst(offset, low, high, ageMs)
    if (reason === undefined) return true
    this.#log.warn({ partition, offset, low, high, ageMs, reason }, 'the checkpoint is not used')
    return false
  }
}

/** A deleted claim's tombstone may be gone after `delete.retention.ms`; half of it leaves time for the restore. */
const AGE_MS_MAX = CLAIMS_DELETE_RETENTION_MS / 2
const CLOCK_SET_BACK_MS_MAX = 60_000

function reasonAgainst(offset: number, low: number, high: number, ageMs: number): string | undefined {
  if (offset < low) return 'claims behind it have expired from the topic'
  if (offset > high) return 'it is ahead of the topic'
  if (ageMs > AGE_MS_MAX) return 'it is too old'
  if (ageMs < -CLOCK_SET_BACK_MS_MAX) return 'it comes from the future'
  return undefined
}
