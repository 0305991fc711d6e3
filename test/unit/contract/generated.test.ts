import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { loadSchema } from '@sallyport/core/codec'
import type { SchemaTypes } from '@sallyport/core/contract'
import { generatedFiles } from 'sallyport/contract/generated-files'
import { contractTypes } from 'sallyport/contract/typescript'

describe('generated files', () => {
  it('are as the schemas, the topics and the settings make them: else run npm run contract', async () => {
    for (const { url, text } of await generatedFiles())
      assert.equal(readFileSync(url, 'utf8'), text, url.pathname)
  })

  it('what a type allows fits its schema', () => {
    const values: SchemaTypes = {
      'agent-event.v1': { eventId: 'e', agentId: 'a', status: 's', attempt: 1, processedAt: 0 },
      'source-secret.v1': {
        source: 'asana',
        step: 'LEARNT',
        window: 'w1',
        by: '',
        forMs: 0,
        nonceHash: null,
        from: [],
        replaces: false,
        keyId: 'k1',
        sealed: Buffer.from('sealed'),
      },
      'audit.v1': {
        operation: 3,
        kind: 'REDRIVE',
        step: 'PROGRESS',
        processor: 'p',
        by: { user: 'u', host: 'h', pid: 1 },
        why: '',
        command: '',
        selection: null,
        ranges: [{ partition: 0, from: 1, until: 2 }],
        progress: { partition: 0, through: 2, laneEnd: 1 },
        count: 1,
        checkpoint: null,
      },
      'barrier.v1': { nonce: 'n', process: 'p' },
      'claim.v1': { state: 'PENDING', generation: 0, attempt: 1, windowMs: 1 },
      'event.v1': {
        id: 'crm/1',
        source: 'crm',
        type: 'webhook',
        identity: 'DIGEST',
        windowMs: null,
        senderId: null,
        scheme: 'custom',
        secretIndex: 0,
        receivedAt: 0,
        sentAt: 1,
        contentType: null,
        method: 'GET',
        query: 'a=1',
        headers: { a: 'b' },
        body: Buffer.from('x'),
      },
      'positions.v1': {
        inputs: { topic: 1 },
        logs: { topic: { topicId: 'id', leaderEpoch: 2, readTo: 3, held: null } },
      },
    }
    for (const [name, value] of Object.entries(values)) {
      const { type } = loadSchema(name)
      const read: unknown = type.fromBuffer(type.toBuffer(value))
      assert.deepEqual(JSON.parse(JSON.stringify(read)), JSON.parse(JSON.stringify(value)), name)
    }
  })

  it('every kind of type has its counterpart, and a comment cannot end its comment', () => {
    const schema = {
      type: 'record',
      name: 'All',
      namespace: 'a.b',
      doc: 'ends */ here',
      fields: [
        { name: 'list', type: { type: 'array', items: ['null', 'string'] } },
        { name: 'sum', type: { type: 'fixed', name: 'Sum', size: 4 } },
        { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['A', 'B'] } },
        { name: 'again', type: ['null', 'a.b.Kind'] },
        { name: 'inner', type: { type: 'record', name: 'Inner', fields: [{ name: 'ok', type: 'boolean' }] } },
      ],
    }
    const text = contractTypes(new Map([['all.v1', JSON.stringify(schema)]]))
    assert.match(text, /ends \*\\\/ here/)
    for (const line of [
      'readonly list: readonly (string | null)[]',
      'readonly sum: Buffer',
      'readonly kind: Kind',
      'readonly again: Kind | null',
      'readonly inner: Inner',
      "export type Kind = 'A' | 'B'",
      'readonly ok: boolean',
      "'all.v1': All",
    ]) {
      assert.ok(text.includes(line), line)
    }
  })
})
