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

  it('matches patterns that JavaScript would go back and forth over for ever', async () => {
    const strict = sourceOf({
      preset: 'generic',
      secrets: ['s'],
      bodySchema: {
        properties: { name: { pattern: '^(a+)+$' }, path: { pattern: '^(([a-z])+.)+[A-Z]([a-z])+$' } },
        patternProperties: { '^(x+x+)+y$': { type: 'null' } },
      },
    })
    const long = 'a'.repeat(50_000)
    assert.equal(
      codeOf(await judge(strict, signed(JSON.stringify({ name: long, path: 'a.Ab' })))),
      'verified',
    )
    for (const body of [{ name: `${long}!` }, { path: long }, { [`${'x'.repeat(50_000)}y`]: 1 }]) {
      assert.equal(codeOf(await judge(strict, signed(JSON.stringify(body)))), 'schema-mismatch')
    }
  })

  it('reads patterns as JSON Schema has them, and refuses those that no linear engine can match', async () => {
    const matches = async (pattern: string, text: string) => {
      const schema = { type: 'object', properties: { t: { pattern } } }
      const one = sourceOf({ preset: 'generic', secrets: ['s'], bodySchema: schema })
      return codeOf(await judge(one, signed(JSON.stringify({ t: text }))))
    }
    for (const [pattern, fits, other] of [
      ['\\u00e9$', 'café', 'cafe'],
      ['^\\d{3}-[\\w.]+$', '123-a.b', '12-a'],
      ['^\\p{Lu}', 'Éa', 'éa'],
      ['^(?<year>\\d{4})\\/', '2027/', '27/'],
      ['b', 'abc', 'ac'],
      ['^[^]$', '\n', 'ab'],
    ] as const) {
      assert.equal(await matches(pattern, fits), 'verified', pattern)
      assert.equal(await matches(pattern, other), 'schema-mismatch', pattern)
    }
    for (const pattern of ['(?=a)b', '(a)\\1', '(']) {
      await assert.rejects(
        matches(pattern, 'a'),
        /SP_SETTINGS: sources\.\w+\.bodySchema .*correct it$/,
        pattern,
      )
    }
  })

  it('lets patterns look at so many characters of a body and no more', async () => {
    const bounded = sourceOf({
      preset: 'generic',
      secrets: ['s'],
      patternCharsMax: 2_000,
      bodySchema: { type: 'array', items: { pattern: '^a' } },
    })
    const items = (count: number) => signed(JSON.stringify(Array(count).fill('a'.repeat(100))))
    for (let i = 0; i < 3; i++) assert.equal(codeOf(await judge(bounded, items(20))), 'verified')
    const verification = await judge(bounded, items(21))
    assert(verification.kind === 'rejected' && verification.code === 'schema-mismatch')
    assert.match(verification.detail, /more than 2000 characters \(patternCharsMax\)/)
  })

  it('tells items apart without comparing each with each', async () => {
    const unique = sourceOf({
      preset: 'generic',
      secrets: ['s'],
      bodySchema: { type: 'array', uniqueItems: true },
    })
    const code = async (items: string) => codeOf(await judge(unique, signed(items)))
    const many = Array.from({ length: 100_000 }, (_, i) => ({ i, same: { of: ['all'] } }))
    assert.equal(await code(JSON.stringify(many)), 'verified')
    assert.equal(await code(JSON.stringify([...many, many[0]])), 'schema-mismatch')
    for (const same of [
      '[1,1.0]',
      '[{"a":1,"b":2},{"b":2,"a":1}]',
      '[[1,{}],[1,{}]]',
      '[null,null]',
      '["a","\\u0061"]',
    ]) {
      assert.equal(await code(same), 'schema-mismatch', same)
    }
    for (const distinct of [
      '[1,"1"]',
      '[{},[]]',
      '[0,false,null,""]',
      '[[1,2],[12]]',
      '[{"a":1},{"a":[1]}]',
      '["[0","{0"]',
      '[[["a"]],[["b"]]]',
    ]) {
      assert.equal(await code(distinct), 'verified', distinct)
    }
    const off = sourceOf({ preset: 'generic', secrets: ['s'], bodySchema: { uniqueItems: false } })
    assert.equal(codeOf(await judge(off, signed('[1,1]'))), 'verified')
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
