import assert from 'node:assert/strict'
import type { Operation, OperationKind } from '@sallyport/core/audit'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { deadLetter } from 'sallyport/operations/dead-letter'
import type { Desk } from 'sallyport/operations/desk'
import { Ledger } from 'sallyport/operations/ledger'
import { selectionOf } from 'sallyport/operations/selection'

const MINUTE = 60_000
const STARTED_AT = 1_000_000 * MINUTE

/** A dead letter at offset 3, and a cluster in which there is nothing but it, and a record of its key among the claims. */
function letterOf(diedAt: number, key = 'crm/1', claim?: Buffer): { record: FetchedRecord; desk: Desk } {
  const record: FetchedRecord = {
    topic: 'sallyport.p.dead-letter',
    partition: 0,
    offset: 3,
    timestamp: diedAt,
    key: Buffer.from(key),
    value: Buffer.from('the payload'),
    headers: { ce_source: 'crm', 'sallyport-reason': 'exhausted' },
  }
  const reader = {
    bounds: async (topic: string) => new Map([[0, { low: 0, high: topic === record.topic ? 4 : 0 }]]),
    async *read({ topic }: { topic: string }) {
      if (topic === record.topic) yield { records: [record] }
      else if (claim !== undefined) yield { records: [{ ...record, topic, value: claim }] }
    },
  }
  const registry = { find: async () => undefined }
  return { record, desk: { reader, registry } as unknown as Desk }
}

/** An operation that took the first ten letters. */
function finished(kind: OperationKind): Operation {
  const by = { user: 'u', host: 'h', pid: 1 }
  return {
    id: 7,
    kind,
    processor: 'p',
    selection: selectionOf({}),
    ranges: new Map([[0, { partition: 0, from: 0, until: 10 }]]),
    command: '',
    why: '',
    startedBy: by,
    startedAt: STARTED_AT,
    planned: 10,
    state: 'finished',
    reported: true,
    lastBy: by,
    lastAt: STARTED_AT,
    handled: 10,
    progress: new Map(),
  }
}

describe('where a dead letter stands', () => {
  it('is told also of one that a foreign producer named after a task’s own records', async () => {
    const { record, desk } = letterOf(STARTED_AT, '#barrier', Buffer.from('no claim'))
    assert.equal((await Ledger.read(desk, 'p', 0, [])).standing(deadLetter(record)).state, 'dead')
  })

  for (const [kind, state] of [
    ['REDRIVE', 'waiting'],
    ['DISCARD', 'discarded'],
  ] as const)
    it(`is not told by a ${kind} from before the topic was made anew (Z1)`, async () => {
      const standing = async (diedAt: number) => {
        const { record, desk } = letterOf(diedAt)
        return (await Ledger.read(desk, 'p', 0, [finished(kind)])).standing(deadLetter(record)).state
      }
      assert.equal(await standing(STARTED_AT - MINUTE), state)
      assert.equal(await standing(STARTED_AT + 60 * MINUTE), 'dead')
    })
})
