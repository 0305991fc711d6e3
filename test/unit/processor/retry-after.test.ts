import assert from 'node:assert/strict'
import { RetryLater } from '@sallyport/processor'
import { retryAfterMs } from '@sallyport/processor/retry-after'

const NOW_MS = Date.parse('2026-11-24T12:00:00Z')

function asked(headers: Record<string, string>): number | undefined {
  return retryAfterMs(new Headers(headers), NOW_MS)
}

describe('Retry-After', () => {
  it('is a number of seconds', () => assert.equal(asked({ 'retry-after': ' 120 ' }), 120_000))

  it('is a date, measured from the response’s own Date, so that clocks need not agree', () => {
    const until = 'Tue, 24 Nov 2026 13:00:30 GMT'
    assert.equal(asked({ 'retry-after': until, date: 'Tue, 24 Nov 2026 13:00:00 GMT' }), 30_000)
    assert.equal(asked({ 'retry-after': until }), 3_630_000)
  })

  it('a date that is past asks for no wait', () => {
    assert.equal(asked({ 'retry-after': 'Tue, 24 Nov 2026 11:00:00 GMT' }), 0)
  })

  for (const text of [
    '',
    '-1',
    '1e9',
    '12345678901',
    'soon',
    '2026-11-24',
    'Tue, 99 Nov 2026 13:00:30 GMT',
  ]) {
    it(`${JSON.stringify(text)} is none`, () => assert.equal(asked({ 'retry-after': text }), undefined))
  }

  it('becomes the delay of a RetryLater; without one the handler’s own wish stands', () => {
    const response = (headers: Record<string, string>) => new Response(null, { status: 429, headers })
    assert.equal(RetryLater.fromResponse(response({ 'retry-after': '7' }), '1m').delayMs, 7_000)
    assert.equal(RetryLater.fromResponse(response({}), '1m').delayMs, 60_000)
    assert.match(RetryLater.fromResponse(response({ 'retry-after': '7' }), '1m').message, /429/)
  })
})
