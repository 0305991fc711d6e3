import assert from 'node:assert/strict'
import type { FetchedRecord } from '@sallyport/core/kafka/group-consumer'
import { deadLetter, parseOrigin } from 'sallyport/operations/dead-letter'
import { commandText, matcher, selectionOf } from 'sallyport/operations/selection'

function record(headers: Record<string, string> = {}, fields: Partial<FetchedRecord> = {}): FetchedRecord {
  return {
    topic: 'sallyport.p.dead-letter',
    partition: 3,
    offset: 7,
    timestamp: 1_000,
    key: Buffer.from('crm/1'),
    value: Buffer.from('the payload'),
    headers: {
      ce_source: 'crm',
      ce_type: 'ticket',
      'sallyport-reason': 'exhausted',
      'sallyport-code': 'SP_HANDLER_FAILED',
      'sallyport-message': 'no answer',
      'sallyport-origin': 'sallyport.events/3/42',
      ...headers,
    },
    ...fields,
  }
}

describe('a dead letter', () => {
  it('is called by its event’s id, and what cannot be read by where it was first read', () => {
    assert.equal(deadLetter(record()).identity, 'crm/1')
    const poison = deadLetter(record({ 'sallyport-reason': 'poison' }))
    assert.deepEqual([poison.identity, poison.key], ['at:sallyport.events/3/42', 'crm/1'])
    const bare = deadLetter({ ...record(), key: null, headers: { 'sallyport-reason': 'poison' } })
    assert.deepEqual([bare.identity, bare.key, bare.source], ['at:sallyport.p.dead-letter/3/7', '', ''])
  })

  it('takes nothing that a stranger wrote for a number or a place', () => {
    const odd = deadLetter(
      record({ 'sallyport-generation': '1e9', 'sallyport-attempt': '-1', 'sallyport-origin': 'x/y/z' }),
    )
    assert.deepEqual([odd.generation, odd.attempt, odd.origin], [0, 0, null])
    assert.equal(parseOrigin('sallyport.events/3/42/1'), null)
  })
})

describe('a selection', () => {
  it('without filters picks everything; each filter narrows it', () => {
    const letter = deadLetter(record())
    assert.ok(matcher(selectionOf({}), true)(letter))
    for (const [filters, picks] of [
      [{ source: ['crm', 'x'] }, true],
      [{ source: ['x'] }, false],
      [{ type: ['ticket'] }, true],
      [{ type: ['x'] }, false],
      [{ reason: ['exhausted'] }, true],
      [{ reason: ['fatal'] }, false],
      [{ code: ['SP_HANDLER_FAILED'] }, true],
      [{ code: ['SP_EMIT'] }, false],
      [{ text: 'payload' }, true],
      [{ text: 'no answer' }, true],
      [{ text: 'elsewhere' }, false],
      [{ from: { text: '', at: 1_000 } }, true],
      [{ from: { text: '', at: 1_001 } }, false],
      [{ to: { text: '', at: 1_001 } }, true],
      [{ to: { text: '', at: 1_000 } }, false],
    ] as const) {
      assert.equal(matcher(selectionOf(filters), true)(letter), picks, JSON.stringify(filters))
    }
    assert.equal(matcher(selectionOf({}, ['crm/2']), true)(letter), false)
  })

  it('of a replay has times of events, which say nothing of when a letter died', () => {
    assert.ok(matcher(selectionOf({ from: { text: '', at: 5_000 } }), false)(deadLetter(record())))
  })

  it('is asked for by one command, however it is typed', () => {
    const a = commandText('REDRIVE', 'p', { source: ['b', 'a'], text: 'it’s $HOME' }, ['y', 'x', 'y'])
    const b = commandText('REDRIVE', 'p', { text: 'it’s $HOME', source: ['a', 'b'] }, ['x', 'y'])
    assert.equal(a, b)
    assert.equal(a, "dlq redrive --processor p --source a --source b --text 'it’s $HOME' x y")
    assert.notEqual(a, commandText('REDRIVE', 'p', { source: ['a'], text: 'it’s $HOME' }, ['x', 'y']))
    assert.equal(
      commandText('REPLAY', 'p', { from: { text: '2h', at: 1 } }),
      'replay --processor p --from 2h',
    )
  })
})
