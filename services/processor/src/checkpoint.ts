/**
 * A checkpoint: the claims of one partition in a local SQLite file, so that a restart on the same host reads only
 * what the claims topic says since. open → own → (part)* → (save)* → close
 *
 * D1. It holds committed claims only (N1), and all of those below its offset. Its parts are saved one after the other
 *     while the task goes on, so they may hold later ones; reading the topic from its offset on files those again.
 * D2. It counts only for its own cluster, topic (by id) and partition, and in its own format.
 * D3. Head and parts are written in one SQL transaction, and the head has every part's checksum: what a crash of the
 *     machine or a disk mixed up does not match, and nothing of it is believed.
 * D4. Whoever acquired the partition last owns the file. An earlier owner that still runs cannot write to it.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { endianness } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import type { InputLog } from '@sallyport/core/contract'
import { SallyportError } from '@sallyport/core/errors'
import type { TopicIdentity } from '@sallyport/core/kafka/topic-identity'

const FORMAT = `2-${endianness()}`
/** How long another process may hold the file up, ms. */
const BUSY_TIMEOUT_MS = 100

/** What a checkpoint is of. */
export interface CheckpointSubject extends TopicIdentity {
  readonly topic: string
  readonly partition: number
}

/** What a checkpoint says of itself. */
export interface CheckpointHead {
  /** Of the claims topic: everything below it is in here. */
  readonly offset: number
  /** Positions that were written below `offset`: input topic → offset. */
  readonly positions: Readonly<Record<string, number>>
  /** Input topic → the log that its position is of. */
  readonly logs: Readonly<Record<string, InputLog>>
  /** When the positions were written, by the brokers' clock, ms since the epoch. */
  readonly positionsAt: number
  /** The key of the hashes. */
  readonly hashKey: string
  /** This host's clock when `offset` was current, ms since the epoch. */
  readonly savedAt: number
  /** The process that saved it, which had not drained then; earlier versions did not say. */
  readonly process?: string
  readonly parts: Readonly<Record<string, PartFacts>>
}

export interface PartFacts {
  readonly bytes: number
  readonly checksum: number
}

/** Parts whose id begins so are saved all together each time. */
export const PENDING_PARTS = 'pending/'

export class Checkpoint {
  readonly #file: string
  readonly #subject: string
  readonly #database: DatabaseSync
  #owner = ''
  #head: CheckpointHead | undefined

  private constructor(folder: string, subject: CheckpointSubject) {
    const { topic, partition, topicId, clusterId } = subject
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    this.#file = path.join(folder, `${topic}-${partition}.sqlite`)
    this.#subject = [FORMAT, clusterId, topicId, partition].join(' ')
    this.#database = new DatabaseSync(this.#file, { timeout: BUSY_TIMEOUT_MS })
  }

  /** Opens or creates the file; throws what SQLite says of one that is none, once that is removed. */
  static open(folder: string, subject: CheckpointSubject): Checkpoint {
    const checkpoint = new Checkpoint(folder, subject)
    try {
      // A crash of the process cannot harm it; after one of the machine the checksums tell (D3).
      checkpoint.#database.exec(`
        PRAGMA journal_mode = TRUNCATE;
        PRAGMA synchronous = OFF;
        CREATE TABLE IF NOT EXISTS head (id INTEGER PRIMARY KEY CHECK (id = 1), subject TEXT, owner TEXT, head TEXT);
        CREATE TABLE IF NOT EXISTS part (id TEXT PRIMARY KEY, data BLOB);
      `)
      return checkpoint
    } catch (error) {
      checkpoint.discard()
      throw error
    }
  }

  /** Makes `owner` the only one that may write (D4). Returns what is there; undefined where nothing is of use (D2). */
  own(owner: string): CheckpointHead | undefined {
    this.#owner = owner
    return this.#transact(() => {
      const row = this.#database.prepare('SELECT subject, head FROM head').get()
      const isOurs = row?.subject === this.#subject
      if (!isOurs) this.#database.exec('DELETE FROM part')
      const head = isOurs && typeof row?.head === 'string' ? row.head : null
      this.#database.prepare('REPLACE INTO head VALUES (1, ?, ?, ?)').run(this.#subject, owner, head)
      this.#head = head === null ? undefined : (JSON.parse(head) as CheckpointHead)
      return this.#head
    })
  }

  /** Forgets what it holds. */
  clear(): void {
    this.#head = undefined
    this.#transact(() => this.#database.exec('DELETE FROM part; UPDATE head SET head = NULL'))
  }

  /** What its parts were when it was opened, or saved last. */
  get parts(): Readonly<Record<string, PartFacts>> {
    return this.#head?.parts ?? {}
  }

  /** A part's bytes. Throws `SP_RESTORE` when they are not those that were saved (D3). */
  part(id: string): Uint8Array {
    const row = this.#database.prepare('SELECT data FROM part WHERE id = ?').get(id)
    const data = row?.data
    if (data instanceof Uint8Array && crc32(data) === this.parts[id]?.checksum) return data
    this.discard()
    throw new SallyportError(
      'SP_RESTORE',
      `part ${id} of the checkpoint ${this.#file} is damaged; it was removed, and the claims will be read from the topic`,
      { retryable: true },
    )
  }

  /**
   * Saves parts, with a turn of the event loop between them, and then the head. Other parts stay, but for those of
   * `PENDING_PARTS`. False: there is a newer owner (D4).
   */
  async save(
    parts: Iterable<readonly [id: string, data: Uint8Array]>,
    head: Omit<CheckpointHead, 'parts'>,
  ): Promise<boolean> {
    const kept = Object.entries(this.parts).filter(([id]) => !id.startsWith(PENDING_PARTS))
    const saved: Record<string, PartFacts> = Object.fromEntries(kept)
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      if (this.#database.prepare('SELECT owner FROM head').get()?.owner !== this.#owner) {
        this.#database.exec('ROLLBACK')
        return false
      }
      const put = this.#database.prepare('REPLACE INTO part VALUES (?, ?)')
      for (const [id, data] of parts) {
        put.run(id, data)
        saved[id] = { bytes: data.length, checksum: crc32(data) }
        await new Promise(resolve => setImmediate(resolve))
      }
      const drop = this.#database.prepare('DELETE FROM part WHERE id = ?')
      for (const id of Object.keys(this.parts)) if (saved[id] === undefined) drop.run(id)
      const whole: CheckpointHead = { ...head, parts: saved }
      this.#database.prepare('UPDATE head SET head = ?').run(JSON.stringify(whole))
      this.#database.exec('COMMIT')
      this.#head = whole
      return true
    } catch (error) {
      if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }

  /** Idempotent; a save that is under way fails, and leaves what was there. */
  close(): void {
    if (this.#database.isOpen) this.#database.close()
  }

  /** Closes and removes it. */
  discard(): void {
    this.close()
    for (const file of [this.#file, `${this.#file}-journal`]) rmSync(file, { force: true })
  }

  #transact<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      this.#database.exec('ROLLBACK')
      throw error
    }
  }
}
