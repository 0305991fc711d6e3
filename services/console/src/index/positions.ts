/** Where the index stands in each topic, compared with what the topics hold. */
import type { DatabaseSync } from 'node:sqlite'
import type { PartitionBounds } from '@sallyport/core/kafka/admin'
import type { ReadPositions } from '@sallyport/core/kafka/topic-reader'
import { inTransaction, makeAnew } from './database.ts'
import { topicRole } from './topics.ts'

/** Topic → partition → what it holds. */
export type Bounds = ReadonlyMap<string, ReadonlyMap<number, PartitionBounds>>

interface PositionRow {
  readonly topic: string
  readonly partition: number
  readonly position: number
}

/**
 * Fits the stored positions to the topics: new partitions begin at their start, expired records are passed, and
 * topics that were made anew empty the index.
 */
export function fitPositions(database: DatabaseSync, bounds: Bounds): void {
  inTransaction(database, () => {
    if (rows(database).some(row => isBeyond(row, bounds))) makeAnew(database)
    const set = database.prepare(
      'INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET position = max(position, excluded.position)',
    )
    const settle = database.prepare('INSERT OR IGNORE INTO settled VALUES (?, ?, 0)')
    for (const [topic, partitions] of bounds) {
      const role = topicRole(topic)
      for (const [partition, { low }] of partitions) {
        set.run(topic, partition, low)
        // A processor that has settled nothing yet has passed nothing.
        if (role?.kind === 'claims') settle.run(role.processor, partition)
      }
    }
    for (const { topic } of rows(database)) if (!bounds.has(topic)) forget(database, topic)
  })
}

function isBeyond({ topic, partition, position }: PositionRow, bounds: Bounds): boolean {
  const held = bounds.get(topic)?.get(partition)
  return held !== undefined && position > held.high
}

/** A processor that is gone holds nothing up. */
function forget(database: DatabaseSync, topic: string): void {
  database.prepare('DELETE FROM positions WHERE topic = ?').run(topic)
  const role = topicRole(topic)
  if (role?.kind === 'claims') database.prepare('DELETE FROM settled WHERE processor = ?').run(role.processor)
}

export function storedPositions(database: DatabaseSync): ReadPositions {
  const positions = new Map<string, Map<number, number>>()
  for (const { topic, partition, position } of rows(database)) {
    const partitions = positions.get(topic) ?? new Map<number, number>()
    positions.set(topic, partitions.set(partition, position))
  }
  return positions
}

/** Records between the index and the ends that the topics had. */
export function recordsBehind(database: DatabaseSync, bounds: Bounds): number {
  const positions = storedPositions(database)
  let behind = 0
  for (const [topic, partitions] of bounds) {
    for (const [partition, { low, high }] of partitions) {
      behind += Math.max(0, high - (positions.get(topic)?.get(partition) ?? low))
    }
  }
  return behind
}

function rows(database: DatabaseSync): PositionRow[] {
  return database
    .prepare('SELECT topic, partition, position FROM positions')
    .all() as unknown as PositionRow[]
}
