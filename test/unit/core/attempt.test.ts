import assert from 'node:assert/strict'
import { type AttemptRecord, extendHistory, parseHistory } from '@sallyport/core/attempt'
import fc from 'fast-check'

function attempt(n: number, message = 'no'): AttemptRecord {
  return { attempt: n, startedAt: n, durationMs: 1, code: 'SP_HANDLER_FAILED', message }
}

describe('history of attempts', () => {
  it('survives the header it is kept in', () => {
    const history = extendHistory(extendHistory([], attempt(1)), attempt(2))
    assert.deepEqual(parseHistory(JSON.stringify(history)), history)
  })

  it('keeps the first attempt and the latest ones when there are too many', () => {
    let history: readonly AttemptRecord[] = []
    for (let n = 1; n <= 100; n++) history = extendHistory(history, attempt(n))
    assert.equal(history.length, 20)
    assert.equal(history[0]?.attempt, 1)
    assert.equal(history.at(-1)?.attempt, 100)
  })

  it('stays below the headroom of the topics however long the messages are', () => {
    let history: readonly AttemptRecord[] = []
    for (let n = 1; n <= 100; n++) history = extendHistory(history, attempt(n, '\u{1F4A5}'.repeat(100_000)))
    assert.ok(Buffer.byteLength(JSON.stringify(history)) < 32_768)
  })

  it('that somebody else wrote is no larger than one of ours, and holds nothing else', () => {
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
    const entry = JSON.stringify(attempt(1, 'm'.repeat(10_000)))
    const [read, ...more] = parseHistory(`[${entry.slice(0, -1)},"more":${deep}}]`)
    assert.deepEqual(read, attempt(1, 'm'.repeat(200)))
    assert.deepEqual(more, [])
    for (const wrong of ['1e300', '1e20', '-1e20', 'null'])
      assert.deepEqual(
        parseHistory(`[${entry.replace('"durationMs":1', `"durationMs":${wrong}`)}]`),
        [],
        wrong,
      )
    assert.deepEqual(parseHistory(JSON.stringify(Array.from({ length: 21 }, () => attempt(1)))), [])
  })

  it('is empty, not an error, for any text that is none of ours', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), text => {
        assert.ok(Array.isArray(parseHistory(text)))
      }),
    )
  })
})
