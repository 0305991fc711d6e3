/** A source's own JSON Schema for its bodies: asked after the proof, and answered with 400. */
import assert from 'node:assert/strict'
import { codeOf, hmac, judge, sourceOf } from '../../support/signed-request.ts'

const ORDERS = {
  preset: 'generic',
  secrets: ['s'],
  required: ['$.id'],
  bodySchema: {
    type: 'object',
    required: ['kind'],
    properties: { kind: { enum: ['order', 'refund'] }, lines: { type: 'array', minItems: 1 } },
  },
}

function signed(body: string, secret = 's') {
  return { headers: { 'X-Webhook-Signature': hmac('sha256', secret, body) }, body }
}

describe('the JSON Schema of a source', () => {
  const source = sourceOf(ORDERS)

  it('lets in what fits it and answers 400 to what does not, saying which rule but nothing of the body', async () => {
    assert.equal(codeOf(await judge(source, signed('{"id":1,"kind":"order","lines":[0]}'))), 'verified')
    for (const body of ['{"id":1,"kind":"\\u001b[2Jevil"}', '{"id":1,"kind":"order","lines":[]}']) {
      const verification = await judge(source, signed(body))
      assert(verification.kind === 'rejected')
      assert.deepEqual([verification.status, verification.code], [400, 'schema-mismatch'])
      assert.match(verification.detail, /bodySchema: #\/properties\/(kind\/enum|lines\/minItems) must /)
      assert(!verification.detail.includes('evil'))
    }
    assert.equal(codeOf(await judge(source, signed('{"kind":"order"}'))), 'missing-field')
    const { required: _, ...schemaAlone } = ORDERS
    assert.equal(codeOf(await judge(sourceOf(schemaAlone), signed('no JSON'))), 'not-json')
  })

  it('is not asked about a forgery', async () => {
    assert.equal(codeOf(await judge(source, signed('{"id":1,"kind":"x"}', 'other'))), 'wrong-signature')
  })

  it('that refers to itself answers 400 to a body that is nested without end', async () => {
    const nested = sourceOf({
      preset: 'generic',
      secrets: ['s'],
      bodySchema: { type: 'array', items: { $ref: '#' } },
    })
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
    assert.equal(codeOf(await judge(nested, signed('[[],[[]]]'))), 'verified')
    assert.equal(codeOf(await judge(nested, signed(deep))), 'schema-mismatch')
  })

  it('refuses to start where it is no schema, or leads elsewhere, naming the setting', () => {
    for (const bodySchema of [
      { type: 'nothing' },
      { $ref: 'https://elsewhere.example/schema' },
      { unknownKeyword: 1 },
      { $async: true },
    ]) {
      assert.throws(
        () => sourceOf({ ...ORDERS, bodySchema }),
        /SP_SETTINGS: sources\.\w+\.bodySchema .*(correct|remove) it$/,
      )
    }
  })
})
