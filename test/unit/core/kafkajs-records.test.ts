import '@sallyport/core/kafka/client'
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import fc from 'fast-check'

/** kafkajs's own parts, and what they were exchanged for. */
const require = createRequire(import.meta.url)
const PARTS = 'kafkajs/src/protocol/recordBatch'
const exchangedEncode = require(`${PARTS}/record/v0/index.js`)
const exchangedDecode = require(`${PARTS}/record/v0/decoder.js`)
const encode = original('record/v0/index.js')
const decode = original('record/v0/decoder.js')
const Decoder = require('kafkajs/src/protocol/decoder.js')

function original(part: string) {
  const file = require.resolve(`${PARTS}/${part}`)
  const exchanged = require.cache[file]
  delete require.cache[file]
  const exported = require(file)
  if (exchanged !== undefined) require.cache[file] = exchanged
  return exported
}

describe('records that kafkajs writes and reads with our code', () => {
  const bytes = fc.uint8Array({ maxLength: 300 }).map(Buffer.from)
  const text = fc.string({ unit: 'binary', maxLength: 100 })
  const name = fc.string({ minLength: 1, maxLength: 70 }).filter(text => !(text in {}))
  const record = fc.record({
    key: fc.option(bytes),
    value: fc.option(fc.oneof(bytes, text)),
    headers: fc.dictionary(name, fc.oneof(text, bytes, fc.array(bytes, { minLength: 2, maxLength: 3 })), {
      maxKeys: 8,
    }),
    offsetDelta: fc.nat(100_000),
    timestampDelta: fc.constantFrom(0, 0, 0, 1, 7_000_000_000),
  })
  const context = {
    firstOffset: '9007199254000000',
    firstTimestamp: '1764000000000',
    maxTimestamp: '1764000000500',
    magicByte: 2,
    isControlBatch: false,
    timestampType: 0,
  }

  function body(encoded: { buffer: Buffer }): Buffer {
    return new Decoder(encoded.buffer).readVarIntBytes()
  }

  it('is in place', () => {
    assert.notEqual(exchangedEncode, encode)
    assert.notEqual(exchangedDecode, decode)
  })

  it('are the same bytes', () => {
    fc.assert(
      fc.property(record, given => {
        assert.deepEqual(exchangedEncode(given).buffer, encode(given).buffer)
      }),
    )
  })

  it('are read to the same fields, whichever time the topic keeps', () => {
    fc.assert(
      fc.property(record, fc.constantFrom(0, 1), (given, timestampType) => {
        const wire = body(encode(given))
        const with_ = { ...context, timestampType }
        const { headers, ...rest } = exchangedDecode(new Decoder(wire), with_)
        const { headers: originalHeaders, ...originalRest } = decode(new Decoder(wire), with_)
        assert.deepEqual(rest, originalRest)
        assert.deepEqual({ ...headers }, originalHeaders)
      }),
    )
  })

  it('take a null header, and headers named as what objects inherit', () => {
    const given = { key: null, value: null, headers: { none: null }, offsetDelta: 0, timestampDelta: 0 }
    const headers = { constructor: 'a', ['__proto__']: 'b', toString: 'c' }
    assert.equal(exchangedDecode(new Decoder(body(exchangedEncode(given))), context).headers.none, null)
    const read = exchangedDecode(new Decoder(body(exchangedEncode({ ...given, headers }))), context).headers
    assert.deepEqual(
      Object.keys(read).map(key => [key, String(read[key])]),
      Object.entries(headers),
    )
  })
})
