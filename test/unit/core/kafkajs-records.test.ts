import '@sallyport/core/kafka/client'
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { encodeBatch, encodeRecord } from '@sallyport/core/kafka/record-batch'
import fc from 'fast-check'

/** kafkajs's own parts, and what they were exchanged for. */
const require = createRequire(import.meta.url)
const PARTS = 'kafkajs/src/protocol/recordBatch'
const encode = require(`${PARTS}/record/v0/index.js`)
const exchangedDecode = require(`${PARTS}/record/v0/decoder.js`)
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

describe('records that kafkajs reads with our code', () => {
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
    lastOffsetDelta: 100_000,
  }

  function body(encoded: { buffer: Buffer }): Buffer {
    return new Decoder(encoded.buffer).readVarIntBytes()
  }

  it('is in place', () => {
    assert.notEqual(exchangedDecode, decode)
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
    const place = Buffer.from([0, 0, 0]) // attributes, timestamp and offset, relative to the batch's
    const headersOf = (headers: Record<string, string | null>) => {
      const wire = Buffer.concat([place, encodeRecord({ key: null, value: null, headers })])
      return exchangedDecode(new Decoder(wire), context).headers
    }
    assert.equal(headersOf({ none: null }).none, null)
    const headers = { constructor: 'a', ['__proto__']: 'b', toString: 'c' }
    const read = headersOf(headers)
    assert.deepEqual(
      Object.keys(read).map(key => [key, String(read[key])]),
      Object.entries(headers),
    )
  })
})

describe('the place of a record in its batch', () => {
  it('stays within the batch, whatever the record says', () => {
    // Setup: a batch of three records from a writer of its own, which names places far outside. Timeline: they are
    // read. Proves: none is placed behind the batch, where the position would jump to, nor before it.
    const context = {
      firstOffset: '100',
      firstTimestamp: '0',
      maxTimestamp: '0',
      magicByte: 2,
      timestampType: 0,
      lastOffsetDelta: 2,
    }
    const offsets = [2 ** 31 - 1, 3, 2, 1, 0, -1, -(2 ** 31)].map(offsetDelta => {
      const record = { key: null, value: null, headers: {}, offsetDelta, timestampDelta: 0 }
      const wire = new Decoder(encode(record).buffer).readVarIntBytes()
      return exchangedDecode(new Decoder(wire), context).offset
    })
    assert.deepEqual(offsets, ['102', '102', '102', '101', '100', '100', '100'])
  })
})

describe('a batch of 200,000 records', () => {
  const identity = { producerId: -1n, epoch: -1, sequence: -1 }
  const small = encodeRecord({ key: Buffer.alloc(0), value: Buffer.alloc(0), headers: {} })

  function answerWith(...parts: Buffer[]) {
    const length = Buffer.alloc(4)
    length.writeInt32BE(parts.reduce((bytes, part) => bytes + part.length, 0))
    return new Decoder(Buffer.concat([length, ...parts, Buffer.from('rest')]))
  }

  it('is read by kafkajs as any other, and so is what comes before and behind it', async () => {
    // Setup: an answer to a fetch: a batch of two records, one of 200,000, and half a batch, where the answer's bytes
    // ended. Timeline: kafkajs reads it. Proves: every whole batch is there, and what follows is untouched. The large
    // one used to end in a RangeError, at every try.
    const decodeMessages = require('kafkajs/src/protocol/requests/fetch/v4/decodeMessages.js')
    const two = encodeBatch([small, small], identity, 0)
    const large = encodeBatch(new Array(200_000).fill(small), identity, 0)
    large.writeBigInt64BE(2n)
    const decoder = answerWith(two, large, two.subarray(0, 65))
    const records = await decodeMessages(decoder)
    assert.equal(records.length, 200_002)
    assert.deepEqual([records[1].offset, records[2].offset, records.at(-1).offset], ['1', '2', '200001'])
    assert.equal(String(decoder.readBytes(4)), 'rest')
    assert.equal('toString' in records[0].headers, false, 'single records are read by our code, too')
  })

  it('an answer without a batch is read as kafkajs does', async () => {
    const decodeMessages = require('kafkajs/src/protocol/requests/fetch/v4/decodeMessages.js')
    const decoder = answerWith()
    assert.deepEqual(await decodeMessages(decoder), [])
    assert.equal(String(decoder.readBytes(4)), 'rest')
  })
})
