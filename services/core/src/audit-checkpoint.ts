/**
 * Checkpoints of the audit, which lie in the audit itself: what the records below an offset come to, in parts.
 *
 * Any number of operators may write one at any time: each holds everything, its parts have a nonce of their own, and one
 * whose last part never came is none.
 */
import { randomUUID } from 'node:crypto'
import type { AuditRecord, AuditState } from './audit.ts'
import type { Checkpoint, Operator } from './contract.ts'

/** The key of its records: no processor is named like that. */
export const CHECKPOINT_KEY = '#checkpoint'

/** Bytes of JSON in a part; in Avro they are fewer. */
const PART_BYTES_MAX = 262_144

/** The records of a checkpoint that takes in everything below `through`, as far as `state` says it. */
export function checkpointRecords(state: AuditState, through: number, by: Operator): AuditRecord[] {
  const { pauses, operations } = state.entries
  const contents = [
    ...chunks(operations).map(chunk => ({ operations: chunk, pauses: [] })),
    ...chunks(pauses).map(chunk => ({ operations: [], pauses: chunk })),
  ]
  if (contents.length === 0) contents.push({ operations: [], pauses: [] })
  const nonce = randomUUID()
  return contents.map((content, part) => ({
    operation: null,
    kind: 'CHECKPOINT',
    step: 'FINISHED',
    processor: '',
    by,
    why: '',
    command: '',
    selection: null,
    ranges: [],
    progress: null,
    count: 0,
    checkpoint: { nonce, part, parts: contents.length, through, ...content },
  }))
}

/** Whether it is the part that is written last. */
export function isLastPart({ part, parts }: Checkpoint): boolean {
  return part === parts - 1
}

function chunks<T>(entries: readonly T[]): T[][] {
  const all: T[][] = []
  let bytes = PART_BYTES_MAX
  for (const entry of entries) {
    const size = Buffer.byteLength(JSON.stringify(entry))
    if (bytes + size > PART_BYTES_MAX) {
      all.push([])
      bytes = 0
    }
    all.at(-1)?.push(entry)
    bytes += size
  }
  return all
}
