/**
 * The file of the index: SQLite, with FTS5 for the text of bodies.
 *
 * I1. Positions stand in the same transaction as the rows that they account for: a crash repeats and forgets nothing.
 * I2. Every row follows from the topics alone. A file of another version, or of a cluster whose topics were made
 *     anew, is emptied and filled again.
 * I3. `seq` orders events by the time when Kafka took them, so that listing by time needs no sorting.
 */
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { errorMessage, SallyportError } from '@sallyport/core/errors'

/** Counted up whenever rows of an older file could not be read as now; the file is then filled anew (I2). */
const VERSION = 3

const SCHEMA = `
CREATE TABLE positions (
  topic TEXT NOT NULL, partition INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)
) WITHOUT ROWID;

CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  type TEXT NOT NULL,
  outcome INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  offset INTEGER,              -- of its record in sallyport.events; NULL where only its dead letter is kept
  deliveries INTEGER NOT NULL, -- records of this id in sallyport.events
  body_bytes INTEGER NOT NULL,
  letter_at INTEGER,           -- time of its last dead letter; NULL where it has none
  envelope TEXT NOT NULL       -- the rest of it, JSON
);
CREATE INDEX events_source ON events (source);
CREATE INDEX events_type ON events (type);
CREATE INDEX events_outcome ON events (outcome);
CREATE INDEX events_waiting ON events (partition, offset) WHERE outcome = 0;

CREATE TABLE bodies (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);

CREATE VIRTUAL TABLE texts USING fts5 (
  body, content='', contentless_delete=1, tokenize="unicode61 remove_diacritics 2"
);
-- Bytes that gather before they become a segment: small segments are merged again and again.
INSERT INTO texts (texts, rank) VALUES ('hashsize', 16777216);

-- The claim that a processor has of an event id.
CREATE TABLE claims (
  id TEXT NOT NULL, processor TEXT NOT NULL,
  outcome INTEGER NOT NULL, attempt INTEGER NOT NULL, generation INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (id, processor)
) WITHOUT ROWID;

-- Retries, dead letters and redrives: what a story tells beyond the claim.
CREATE TABLE steps (
  id TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
  at INTEGER NOT NULL, processor TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (id, topic, partition, offset)
) WITHOUT ROWID;

-- How far a processor has settled a partition of sallyport.events.
CREATE TABLE settled (
  processor TEXT NOT NULL, partition INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (processor, partition)
) WITHOUT ROWID;

CREATE TABLE operations (generation INTEGER PRIMARY KEY, at INTEGER NOT NULL, record TEXT NOT NULL);

-- One row while somebody follows the topics, written every second.
CREATE TABLE follower (at INTEGER NOT NULL);
`

/** How long a writer waits for another one, ms. */
const BUSY_MS = 10_000
const CACHE_KIB = 65_536

/**
 * Opens the index in a file, and makes it where there is none. It holds bodies, so it is the owner's alone to read.
 * Throws `SP_INDEX`.
 */
export function openIndex(file: string): DatabaseSync {
  try {
    return open(file)
  } catch (error) {
    throw indexError(file, error)
  }
}

function open(file: string): DatabaseSync {
  mkdirSync(path.dirname(file), { recursive: true })
  closeSync(openSync(file, 'a', 0o600))
  chmodSync(file, 0o600)
  const database = new DatabaseSync(file, { timeout: BUSY_MS })
  // A transaction lost with the machine is read again from Kafka: no fsync per commit.
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -${CACHE_KIB};
    PRAGMA journal_size_limit = 67108864;`)
  inTransaction(database, () => {
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as {
      user_version: number
    }
    if (version !== VERSION) makeAnew(database)
  })
  return database
}

/** Empties the index, so that it is filled from the start of the topics. Call it inside a transaction. */
export function makeAnew(database: DatabaseSync): void {
  const tables = database
    .prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL AND name NOT LIKE 'texts_%'",
    )
    .all() as { name: string }[]
  for (const { name } of tables) database.exec(`DROP TABLE "${name}"`)
  database.exec(SCHEMA)
  database.exec(`PRAGMA user_version = ${VERSION}`)
}

/** Runs work as one transaction that takes the write lock at its start. */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

export function indexError(file: string, error: unknown): SallyportError {
  if (error instanceof SallyportError) return error
  const advice = isForbidden(error)
    ? 'let SALLYPORT_HOME name a folder that you can write to'
    : 'make room for it, or remove it; it is filled again from the topics'
  const message = `the index ${file} cannot be used (${errorMessage(error)}): ${advice}`
  return new SallyportError('SP_INDEX', message, { cause: error })
}

const FORBIDDEN: readonly unknown[] = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR']
const SQLITE_READONLY = 8

/** Whether the file may not be written where it is; where only its folder forbids it, SQLite says so. */
function isForbidden(error: unknown): boolean {
  const { code, errcode } = Object(error) as { code?: unknown; errcode?: unknown }
  // The last byte of an extended code is the plain one.
  return FORBIDDEN.includes(code) || (Number(errcode) & 0xff) === SQLITE_READONLY
}
