/** Every parser of untrusted input, 10,000 cases each: it never throws, and reads one value from one text. */
import assert from 'node:assert/strict'
import { createHmac, createSecretKey } from 'node:crypto'
import { equalAscii } from '@sallyport/ingress/schemes/compare'
import { decodeStrict, type SecretEncoding, secretKeys } from '@sallyport/ingress/schemes/encoding'
import { onlyField, parseForm, queryOf } from '@sallyport/ingress/schemes/form'
import { splitUrl } from '@sallyport/ingress/schemes/form-signing'
import { Hmac } from '@sallyport/ingress/schemes/hmac'
import { walkJson } from '@sallyport/ingress/schemes/json-walk'
import { readJwt } from '@sallyport/ingress/schemes/jwt'
import { asLabel, atPath, parseJsonPath } from '@sallyport/ingress/schemes/location'
import { Reading } from '@sallyport/ingress/schemes/reading'
import { readList } from '@sallyport/ingress/schemes/row'
import { readTime, type TimeUnit } from '@sallyport/ingress/schemes/timestamp'
import { membersPattern } from '@sallyport/ingress/schemes/verifier'
import fc from 'fast-check'
import { requestOf } from '../support/signed-request.ts'

const RUNS = { numRuns: 10_000 }
const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme-composite' }))

describe('parsers of untrusted input', () => {
  it('times: a text is read only if it is digits or RFC 3339, and agrees with Date', () => {
    const units = fc.constantFrom<TimeUnit>('s', 'ms', 'rfc3339', 'auto')
    const near = fc.oneof(
      text,
      fc.integer().map(String),
      fc.date({ noInvalidDate: true }).map(date => date.toISOString()),
      fc.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/),
      fc.jsonValue(),
    )
    fc.assert(
      fc.property(near, units, (value, unit) => {
        const ms = readTime(value, unit)
        if (ms === null) return
        assert(Number.isFinite(ms))
        if (typeof value === 'string' && !/^\d{1,15}$/.test(value)) {
          assert.match(value, /^\d{4}-\d\d-\d\dT/)
          assert.equal(ms, Date.parse(value.replace(/(\.\d{3})\d+/, '$1')))
        }
      }),
      RUNS,
    )
  })

  it('hex, base64 and base64url: what decodes is exactly what encoding gives', () => {
    const encodings = fc.constantFrom('hex', 'base64', 'base64url')
    const near = fc.oneof(
      text,
      fc.base64String(),
      fc.stringMatching(/^[0-9a-fA-F]*$/),
      fc.uint8Array().map(bytes => Buffer.from(bytes).toString('base64url')),
    )
    fc.assert(
      fc.property(near, encodings, (given, encoding) => {
        const bytes = decodeStrict(given, encoding)
        if (bytes !== null) assert.equal(bytes.toString(encoding), given)
      }),
      RUNS,
    )
    fc.assert(
      fc.property(fc.uint8Array(), encodings, (bytes, encoding) => {
        const encoded = Buffer.from(bytes).toString(encoding)
        assert(decodeStrict(encoded, encoding)?.equals(bytes))
      }),
      RUNS,
    )
  })

  it('comparison: equal only where the texts are', () => {
    const ascii = fc.stringMatching(/^[ -~]{0,80}$/)
    fc.assert(
      fc.property(fc.oneof(text, ascii), ascii, (given, expected) => {
        assert.equal(equalAscii(given, expected), given === expected)
        assert(equalAscii(expected, expected))
      }),
      RUNS,
    )
  })

  it('HMACs: the prepared keys give what createHmac gives', () => {
    const hashes = fc.constantFrom('sha1', 'sha256', 'sha384', 'sha512')
    const encodings = fc.constantFrom('hex', 'base64', 'base64url')
    const bytes = fc.uint8Array({ maxLength: 300 })
    fc.assert(
      fc.property(
        hashes,
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        text,
        bytes,
        text,
        encodings,
        (name, key, before, body, after, encoding) => {
          const secret = createSecretKey(key)
          const expected = createHmac(name, secret).update(before).update(body).update(after).digest(encoding)
          assert.equal(new Hmac(name, secret).digest(before, Buffer.from(body), after, encoding), expected)
        },
      ),
      RUNS,
    )
    for (const size of [65_400, 65_472, 65_473, 70_000]) {
      const body = Buffer.alloc(size, 'x')
      const secret = createSecretKey(Buffer.from('key'))
      assert.equal(
        new Hmac('sha256', secret).digest('é', body, '€', 'hex'),
        createHmac('sha256', secret).update('é').update(body).update('€').digest('hex'),
      )
    }
  })

  it('secrets: every text gives keys that are not empty, or none', () => {
    const encodings = fc.constantFrom<SecretEncoding>(
      'utf8',
      'hex',
      'base64',
      'whsec',
      'whsec-or-utf8',
      'utf8-or-base64',
      'nfkd',
    )
    fc.assert(
      fc.property(text, encodings, (secret, encoding) => {
        const keys = secretKeys(secret, encoding)
        if (keys !== null && secret.length > 0 && secret !== 'whsec_')
          assert(keys.every(key => key.length > 0))
      }),
      RUNS,
    )
  })

  it('forms: never throws, and reads back what URLSearchParams wrote', () => {
    fc.assert(
      fc.property(text, body => {
        const form = parseForm(body)
        if (form !== null) onlyField(form, 'a')
      }),
      RUNS,
    )
    const pairs = fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })), {
      maxLength: 8,
    })
    fc.assert(
      fc.property(pairs, fields => {
        const written = new URLSearchParams(fields).toString()
        assert.deepEqual(parseForm(written), [...new URLSearchParams(written)])
      }),
      RUNS,
    )
  })

  it('URLs: the query and the parts are substrings, never normalised', () => {
    fc.assert(
      fc.property(fc.oneof(text, fc.webUrl({ withQueryParameters: true, withFragments: true })), url => {
        assert(url.includes(queryOf(url)))
        const parts = splitUrl(url)
        if (parts !== null)
          assert.equal(parts.scheme + parts.userInfo + parts.host + parts.port + parts.rest, url)
      }),
      RUNS,
    )
  })

  it('JSON paths and bodies: own members only, whatever the path', () => {
    const step = fc.oneof(
      fc.constantFrom('.a', '[0]', '["b c"]', '.__proto__', '.constructor', '.length'),
      text,
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 6 }), fc.jsonValue(), (steps, value) => {
        const path = parseJsonPath(`$${steps.join('')}`)
        if (path === null) return
        const found = atPath(value, path)
        assert(typeof found !== 'function')
        const label = asLabel(found)
        assert(label === null || (label.length > 0 && label.length <= 256))
      }),
      RUNS,
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map(json => Buffer.from(json)),
        ),
        bytes => {
          const reading = new Reading(requestOf({ body: Buffer.from(bytes) }), undefined, 0)
          const { ok } = reading.json()
          assert.equal(typeof ok, 'boolean')
          reading.form()
          reading.mediaType()
        },
      ),
      RUNS,
    )
  })

  it('a walk over JSON: never throws, and sees the very leaves that JSON.parse gives', () => {
    const leavesOf = (value: unknown, path: string, into: Map<string, unknown>): Map<string, unknown> => {
      if (typeof value !== 'object' || value === null) return into.set(path, value)
      for (const [name, inner] of Object.entries(value)) leavesOf(inner, `${path}/${name}`, into)
      return into
    }
    const names = fc.oneof(
      fc.string({ maxLength: 10, unit: 'grapheme' }),
      fc.constantFrom('a"b', 'a\\', '\n'),
    )
    const json = fc.letrec(tie => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.oneof(
          fc.string({ unit: 'grapheme' }),
          fc.constantFrom('"', '\\', '\u0000', 'é€😀'),
          fc.integer(),
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          fc.boolean(),
          fc.constant(null),
        ),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(
          names.filter(name => /^[ -~]*$/.test(name)),
          tie('value'),
          { maxKeys: 4 },
        ),
      ),
    })).value
    fc.assert(
      fc.property(json, fc.constantFrom(0, 1), fc.boolean(), (value, indent, isEscaped) => {
        const written = JSON.stringify(value, null, indent)
        const text = isEscaped
          ? written.replaceAll(/[^ -~]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
          : written
        if (isEscaped && indent === 1) return
        const seen = new Map<string, unknown>()
        const end = walkJson(Buffer.from(text), (path, leaf) => {
          seen.set(path.map(step => `/${step}`).join(''), leaf.read())
          return false
        })
        assert.equal(end, 'end')
        assert.deepEqual(seen, leavesOf(JSON.parse(text), '', new Map()))
      }),
      RUNS,
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 60 }).map(bytes => Buffer.from(bytes)),
          fc.stringMatching(/^[[\]{},:"\\u0a1 ]{0,40}$/).map(text => Buffer.from(text)),
        ),
        body => {
          walkJson(body, (_, leaf) => {
            leaf.read()
            return false
          })
        },
      ),
      RUNS,
    )
  })

  it('lists of signatures: never throws, and finds only what is labelled', () => {
    const near = fc.oneof(
      text,
      fc
        .array(fc.constantFrom('t=1', 'v1=aa', 'v0=bb', 'v1=', '=', 't=', ' v1=aa', 'v1,aa', 'x'), {
          maxLength: 30,
        })
        .map(items => items.join(',')),
    )
    fc.assert(
      fc.property(near, value => {
        for (const separator of [',', ';', ' '] as const) {
          const claim = readList(
            value,
            { separator, assign: separator === ' ' ? ',' : '=', label: 'v1', timestamp: 't' },
            'X',
          )
          if (claim.kind === 'claim')
            assert(claim.signatures.length > 0 && value.includes('v1') && value.includes('t'))
        }
      }),
      RUNS,
    )
  })

  it('tokens: never throws, and gives the algorithms that were asked for', () => {
    const segment = fc.oneof(
      text,
      fc.json().map(json => Buffer.from(json).toString('base64url')),
      fc
        .constantFrom('{"alg":"none"}', '{"alg":"HS256"}', '{"alg":"HS256","crit":[]}')
        .map(json => Buffer.from(json).toString('base64url')),
    )
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 5 }), parts => {
        const jwt = readJwt(parts.join('.'), ['HS256'])
        if (!('kind' in jwt)) assert.equal(jwt.algorithm, 'HS256')
      }),
      RUNS,
    )
  })

  it('members that change on a retry: leaving them out never throws and adds nothing', () => {
    const pattern = membersPattern(['retryCount'])
    assert(pattern !== undefined)
    fc.assert(
      fc.property(fc.oneof(text, fc.json()), body => {
        assert(body.replaceAll(pattern, '').length <= body.length)
      }),
      RUNS,
    )
  })
})
