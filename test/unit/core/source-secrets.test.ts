/** What the records of learnt secrets come to, whoever folds them. */
import assert from 'node:assert/strict'
import { SealingKeys } from '@sallyport/core/sealing'
import { ownerOf, type SourceSecret, SourceSecrets, sourceSecret } from '@sallyport/core/source-secrets'

const KEYS = new SealingKeys(['a key that is long enough for the tests'], 'keys')

function fold(records: readonly (readonly [at: number, record: SourceSecret])[]): SourceSecrets {
  const state = new SourceSecrets()
  for (const [offset, [at, record]] of records.entries()) state.apply(offset, at, record)
  return state
}

const opened = (window: string, more: Partial<SourceSecret> = {}) =>
  sourceSecret({ source: 'asana', step: 'OPENED', window, forMs: 1_000, nonceHash: 'n', ...more })
const learnt = (window: string, secret: string) =>
  sourceSecret({
    source: 'asana',
    step: 'LEARNT',
    window,
    ...KEYS.seal(secret, ownerOf({ source: 'asana', window })),
  })
const closed = (window: string) => sourceSecret({ source: 'asana', step: 'CLOSED', window })
const forgotten = sourceSecret({ source: 'asana', step: 'FORGOTTEN' })

const secretsOf = (state: SourceSecrets) => state.learnt('asana').map(one => KEYS.open(one, ownerOf(one)))

describe('learnt secrets', () => {
  it('are those that came first within their time; whatever comes after is not', () => {
    const state = fold([
      [0, opened('w1')],
      [500, learnt('w1', 'genuine')],
      [501, learnt('w1', 'stranger')],
    ])
    assert.deepEqual(secretsOf(state), ['genuine'])
    assert.equal(state.window('asana')?.state, 'learnt')
  })

  it('are none without a window, before it, after its time, after its end, or of another one', () => {
    for (const records of [
      [[0, learnt('w1', 's')]],
      [
        [0, learnt('w1', 's')],
        [1, opened('w1')],
      ],
      [
        [0, opened('w1')],
        [1_001, learnt('w1', 's')],
      ],
      [
        [0, opened('w1')],
        [1, closed('w1')],
        [2, learnt('w1', 's')],
      ],
      [
        [0, opened('w1')],
        [1, opened('w2')],
        [2, learnt('w1', 's')],
      ],
      [
        [0, opened('w1')],
        [1, forgotten],
        [2, learnt('w1', 's')],
      ],
      [
        [0, opened('w1', { source: 'notion' })],
        [1, learnt('w1', 's')],
      ],
    ] as const) {
      assert.deepEqual(secretsOf(fold(records)), [])
    }
    assert.deepEqual(
      secretsOf(
        fold([
          [0, opened('w1')],
          [1_000, learnt('w1', 'last moment')],
        ]),
      ),
      ['last moment'],
    )
  })

  it('stand before earlier ones, or take their place where the operator said so, until they are forgotten', () => {
    const two = [
      [0, opened('w1')],
      [1, learnt('w1', 'one')],
      [2, opened('w2')],
      [3, learnt('w2', 'two')],
    ] as const
    assert.deepEqual(secretsOf(fold(two)), ['two', 'one'])
    const replaced = [...two, [4, opened('w3', { replaces: true })], [5, learnt('w3', 'three')]] as const
    assert.deepEqual(secretsOf(fold(replaced)), ['three'])
    assert.deepEqual(secretsOf(fold([...two, [4, forgotten]])), [])
  })

  it('cannot be moved to another source or window: they do not open there', () => {
    const record = learnt('w1', 'secret')
    const [moved] = fold([
      [0, opened('w2')],
      [1, { ...record, window: 'w2' }],
    ]).learnt('asana')
    assert(moved !== undefined)
    assert.equal(KEYS.open(moved, ownerOf(moved)), undefined)
  })

  it('are bounded in number', () => {
    const records = Array.from({ length: 50 }, (_, i) => [
      [2 * i, opened(`w${i}`)] as const,
      [2 * i + 1, learnt(`w${i}`, `secret ${i}`)] as const,
    ]).flat()
    const secrets = secretsOf(fold(records))
    assert.equal(secrets.length, 20)
    assert.equal(secrets[0], 'secret 49')
  })
})
