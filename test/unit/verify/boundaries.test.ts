/** Signed texts of settings that could be read in two ways: refused when they are read (V4). */
import assert from 'node:assert/strict'
import type { Scheme } from '@sallyport/ingress/schemes/scheme'
import { compileSource, type SourceSettings } from '@sallyport/ingress/sources'

const URL = 'https://hooks.example.com/in'

/** What settings with this signed text are refused for, or `taken`. */
function judged(
  signed: string,
  settings: Partial<SourceSettings> = {},
  algorithm: Scheme['algorithm'] = 'hmac-sha256',
): string {
  try {
    compileSource('test', { scheme: { header: 'X-Sig', algorithm, signed }, secrets: ['s'], ...settings })
    return 'taken'
  } catch (error) {
    return (error as Error).message
  }
}

const timed = (unit?: 's' | 'ms' | 'rfc3339' | 'auto') => ({
  timestamp: { header: 'X-Time', ...(unit === undefined ? {} : { unit }) },
})

describe('a signed text of settings', () => {
  it('with a header that no literal ends is refused: bytes of the body would fit into it', () => {
    for (const signed of [
      ...[
        '{header:X-Id}{body}',
        '{body}{header:X-Id}',
        '{header:X-A}{header:X-B}.{body}',
        '{body}.{header:X-A}{header:X-B}',
      ],
      ...[
        '{body}{header:X-A}.',
        'v1:{header:X-A}{body}',
        '{header:X-A}{method}.{body}',
        '{body}{method}{header:X-A}',
      ],
    ]) {
      assert.match(
        judged(signed),
        /scheme\.signed can be read in two ways: \{header:x-[ab id]+\} needs a literal/,
        signed,
      )
    }
    for (const unit of ['s', 'ms', 'auto', undefined] as const) {
      assert.match(judged('{header:X-A}{timestamp}.{body}', timed(unit)), /needs a literal after it/, unit)
    }
    for (const unit of ['s', 'ms', 'rfc3339', 'auto'] as const) {
      assert.match(judged('{body}.{timestamp}{header:X-A}', timed(unit)), /needs a literal before it/, unit)
    }
  })

  it('with a time of any writing is refused where digits and RFC 3339 could be taken for each other', () => {
    for (const signed of [
      '{timestamp}{body}',
      '{timestamp}-{body}',
      '{timestamp}0{body}',
      '{body}{timestamp}',
      '{body}:{timestamp}',
    ]) {
      assert.match(judged(signed, timed()), /\{timestamp\} needs a literal/, signed)
      assert.equal(judged(signed, timed('rfc3339')), 'taken', signed)
      assert.equal(judged(signed, timed('s')), 'taken', signed)
    }
  })

  it('with a URL whose end nothing shows is refused, unless the source sets the URL', () => {
    for (const signed of [
      '{url}?{body}',
      '{url}{timestamp}.{body}',
      '{url}{method}{body}',
      '{url}{header:X-A}.{body}',
    ]) {
      const settings = signed.includes('timestamp') ? timed('s') : {}
      assert.match(judged(signed, settings), /\{url\} (needs|is followed)/, signed)
      assert.equal(judged(signed, { ...settings, url: URL }), 'taken', signed)
    }
  })

  it('of a plain hash is refused where one secret begins or ends with another', () => {
    for (const secrets of [
      ['s', 's\n'],
      ['ab', 'b'],
      ['b', 'ab'],
    ]) {
      assert.match(
        judged('{secret}{body}', { secrets }, 'sha256'),
        /secrets hold one that begins or ends with another/,
      )
    }
    for (const secrets of [
      ['ab', 'ac'],
      ['same', 'same'],
    ]) {
      assert.equal(judged('{secret}{body}', { secrets }, 'sha256'), 'taken')
    }
  })

  it('with a mark at every boundary is taken', () => {
    for (const signed of [
      ...[
        '{body}',
        'v0:{header:X-A}:{body}',
        '{header:X-A}.{header:X-B}.{body}',
        '{body}.{header:X-A}',
        '{url}{body}',
        '{body}{url}',
      ],
      ...['{method}{url}{body}', '{url}\n{body}', '{method}.{body}'],
    ]) {
      assert.equal(judged(signed), 'taken', signed)
    }
    for (const signed of [
      '{timestamp}.{body}',
      '{timestamp}:{body}',
      '{body}.{timestamp}',
      '{timestamp}.{header:X-A}.{body}',
    ]) {
      assert.equal(judged(signed, timed()), 'taken', signed)
    }
    assert.equal(judged('{header:X-A}{timestamp}{body}', timed('rfc3339')), 'taken')
  })
})
