import assert from 'node:assert/strict'
import { EVENT_SCHEMA, encodeEvent, parseSchema, WireReader, wireSchemaId } from '@sallyport/core/codec'
import type { Event } from '@sallyport/core/event'

const event: Event = {
  id: 'crm/1',
  source: 'crm',
  type: 'open',
  identity: 'SENDER_ID',
  windowMs: null,
  senderId: '1',
  scheme: 'custom',
  secretIndex: 0,
  receivedAt: 1_795_000_000_000,
  sentAt: null,
  contentType: 'application/json',
  method: 'GET',
  query: 'a=1',
  headers: { 'x-kept': 'yes' },
  body: Buffer.from([0, 255, 128, 10]),
}

describe('codec', () => {
  it('an event comes back as it was, its body byte for byte', () => {
    const reader = new WireReader<Event>(EVENT_SCHEMA)
    reader.learn(7, EVENT_SCHEMA)
    const wire = encodeEvent(7, event)
    assert.equal(wireSchemaId(wire), 7)
    const read = reader.read(wire)
    assert.deepEqual({ ...read }, event)
  })

  it('events of any length are encoded as avsc does it, also around the space in which they are laid out', () => {
    const reader = new WireReader<Event>(EVENT_SCHEMA)
    reader.learn(7, EVENT_SCHEMA)
    for (const length of [0, 1_000, 1_100, 200_000, ...Array.from({ length: 200 }, (_, i) => 65_400 + i)]) {
      const wire = encodeEvent(7, { ...event, body: Buffer.alloc(length, 1) })
      assert.equal(reader.read(wire).body.length, length)
      assert.deepEqual(wire.subarray(5), EVENT_SCHEMA.type.toBuffer(reader.read(wire)))
    }
  })

  it('an event written before a field existed gets its default', () => {
    const older = JSON.parse(EVENT_SCHEMA.text)
    older.fields = older.fields.filter((field: { name: string }) => field.name !== 'secretIndex')
    const writer = parseSchema(JSON.stringify(older))
    const reader = new WireReader<Event>(EVENT_SCHEMA)
    reader.learn(3, writer)
    const datum = writer.type.toBuffer(event)
    const wire = Buffer.concat([Buffer.from([0, 0, 0, 0, 3]), datum])
    assert.equal(reader.read(wire).secretIndex, 0)
  })

  for (const [what, bytes] of [
    ['empty bytes', Buffer.alloc(0)],
    ['another magic byte', Buffer.from([1, 0, 0, 0, 1, 5])],
    ['a bare prefix', Buffer.from([0, 0, 0, 0, 1])],
  ] as const) {
    it(`${what} have no schema id`, () => assert.equal(wireSchemaId(bytes), undefined))
  }
})
