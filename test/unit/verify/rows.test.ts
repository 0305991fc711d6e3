/** Rows at work. V1–V7 stand in schemes/scheme.ts. */
import assert from 'node:assert/strict'
import { codeOf, hmac, judge, NOW, NOW_MS, sourceOf } from '../../support/signed-request.ts'

const BODY = '{"agent_id":"agent_ABC","status":"open","timestamp":"2027-01-01T00:00:00Z"}'
const CRM = {
  scheme: { header: 'X-Webhook-Signature', algorithm: 'hmac-sha256', encoding: 'hex' },
  secrets: ['new', 'old'],
  timestamp: '$.timestamp',
  required: ['$.agent_id', '$.status'],
  type: '$.status',
} as const

function signed(body: string | Buffer, key = 'new') {
  return { headers: { 'X-Webhook-Signature': hmac('sha256', key, body) }, body }
}

describe('the custom scheme of a CRM', () => {
  const source = sourceOf(CRM)

  it('accepts with either secret and says which', async () => {
    for (const [index, key] of ['new', 'old'].entries()) {
      const verification = await judge(source, signed(BODY, key))
      assert(verification.kind === 'verified')
      const { secretIndex, sentAt, type, scheme, identity } = verification.delivery.verdict
      assert.deepEqual(
        { secretIndex, sentAt, type, scheme, identity },
        { secretIndex: index, sentAt: NOW_MS, type: 'open', scheme: 'custom', identity: 'DIGEST' },
      )
    }
  })

  it('V1: other bytes of the same JSON are another body', async () => {
    const { headers } = signed(BODY)
    for (const body of [
      `${BODY}\n`,
      BODY.replace(':', ': '),
      JSON.stringify(JSON.parse(BODY.replace('open', 'op\\u0065n'))).replace('open', 'op\\u0065n'),
    ]) {
      assert.equal(codeOf(await judge(source, { headers, body })), 'wrong-signature')
    }
  })

  it('V2: one text for one signature', async () => {
    const { headers, body } = signed(BODY)
    const signature = headers['X-Webhook-Signature'] ?? ''
    for (const text of [
      signature.toUpperCase(),
      `${signature}00`,
      signature.slice(0, 63),
      signature.slice(0, 62),
      `${signature}zz`,
      ` ${signature}`,
      'é'.repeat(64),
      '\u0100'.repeat(64),
    ]) {
      const code = codeOf(await judge(source, { headers: { 'X-Webhook-Signature': text }, body }))
      assert(code === 'malformed-signature' || code === 'wrong-signature', `${text}: ${code}`)
    }
    assert.equal(
      codeOf(await judge(source, { headers: { 'X-Webhook-Signature': '' }, body })),
      'missing-signature',
    )
  })

  it('V3: the header comes once, even where both values are genuine', async () => {
    const { headers, body } = signed(BODY)
    const [pair] = Object.entries(headers)
    assert(pair !== undefined)
    assert.equal(
      codeOf(await judge(source, { headers: [pair, ['x-webhook-signature', pair[1]]], body })),
      'duplicate-signature',
    )
  })

  it('V5: the time in the body may be ISO 8601, unix seconds or milliseconds, within five minutes on both sides', async () => {
    const at = (timestamp: unknown, now = NOW_MS) =>
      judge(source, signed(BODY.replace('"2027-01-01T00:00:00Z"', JSON.stringify(timestamp))), now)
    for (const timestamp of [
      '2027-01-01T00:00:00Z',
      '2027-01-01T01:00:00.5+01:00',
      NOW,
      NOW_MS,
      String(NOW),
      String(NOW_MS),
    ]) {
      assert.equal(codeOf(await at(timestamp)), 'verified', String(timestamp))
    }
    assert.equal(codeOf(await at(NOW, NOW_MS + 300_000)), 'verified')
    assert.equal(codeOf(await at(NOW, NOW_MS + 300_001)), 'stale-timestamp')
    assert.equal(codeOf(await at(NOW, NOW_MS - 300_001)), 'future-timestamp')
    for (const timestamp of [
      'yesterday',
      '2027-13-01T00:00:00Z',
      '2027-02-30T00:00:00Z',
      -1,
      1.5,
      '1e9',
      '+1798761600',
      '01798761600',
      true,
      {},
    ]) {
      assert.equal(codeOf(await at(timestamp)), 'malformed-timestamp', String(timestamp))
    }
    for (const timestamp of [null, '']) assert.equal(codeOf(await at(timestamp)), 'missing-timestamp')
  })

  it('answers 400 to a genuine body that is no JSON, and to missing or empty fields', async () => {
    for (const body of ['not json', Buffer.from([0x7b, 0xff, 0x7d]), '{"a":', '[1]']) {
      const verification = await judge(source, signed(body))
      assert(verification.kind === 'rejected')
      const isJson = body === '[1]'
      assert.equal(verification.code, isJson ? 'missing-field' : 'not-json')
    }
    for (const empty of ['""', 'null', '" "', '[]', '{}']) {
      const verification = await judge(source, signed(BODY.replace('"agent_ABC"', empty)))
      assert(verification.kind === 'rejected')
      assert.equal(verification.code, 'missing-field')
      assert.equal(verification.status, 400)
    }
    assert.equal(codeOf(await judge(source, signed(BODY.replace('"agent_ABC"', '0')))), 'verified')
  })
})

describe('signed text', () => {
  it('V4: a signed header must not hold the separator that follows it', async () => {
    const source = sourceOf({ preset: 'standard-webhooks', secrets: ['whsec_c2VjcmV0'] })
    const send = (id: string, body: string, text: string) =>
      judge(source, {
        headers: {
          'webhook-id': id,
          'webhook-timestamp': String(NOW),
          'webhook-signature': `v1,${hmac('sha256', 'secret', text, 'base64')}`,
        },
        body,
      })
    assert.equal(codeOf(await send('m1', 'x', `m1.${NOW}.x`)), 'verified')
    assert.equal(codeOf(await send(`m1.${NOW}`, 'x', `m1.${NOW}.${NOW}.x`)), 'ambiguous-text')
    assert.equal(codeOf(await send('', 'x', `.${NOW}.x`)), 'missing-id')
  })

  it('V3: a signed header that comes twice is refused', async () => {
    const source = sourceOf({ preset: 'standard-webhooks', secrets: ['whsec_c2VjcmV0'] })
    const signature = `v1,${hmac('sha256', 'secret', `m1.${NOW}.x`, 'base64')}`
    const headers = [
      ['webhook-id', 'm1'],
      ['webhook-timestamp', String(NOW)],
      ['webhook-signature', signature],
    ] as const
    for (const again of headers) {
      const code = codeOf(await judge(source, { headers: [...headers, again], body: 'x' }))
      assert(code === 'duplicate-header' || code === 'duplicate-signature', code)
    }
  })

  it('V6: an id that is not signed is kept, and is no identity', async () => {
    const body = '{}'
    const source = sourceOf({ preset: 'github', secrets: ['s'] })
    const verification = await judge(source, {
      headers: { 'X-Hub-Signature-256': `sha256=${hmac('sha256', 's', body)}`, 'X-GitHub-Delivery': 'fresh' },
      body,
    })
    assert(verification.kind === 'verified')
    assert.equal(verification.delivery.verdict.senderId, 'fresh')
    assert.equal(verification.delivery.verdict.identity, 'DIGEST')
  })

  it('a retry that changes only what senders change has the same digest', async () => {
    const source = sourceOf({ preset: 'linear', secrets: ['s'] })
    const digest = async (time: number, action = 'create') => {
      const body = `{"action":"${action}","webhookTimestamp": ${time}}`
      const verification = await judge(
        source,
        { headers: { 'Linear-Signature': hmac('sha256', 's', body) }, body },
        time,
      )
      assert(verification.kind === 'verified')
      return verification.delivery.verdict.signedParts
    }
    assert.deepEqual(await digest(NOW_MS), await digest(NOW_MS + 60_000))
    assert.notDeepEqual(await digest(NOW_MS), await digest(NOW_MS, 'update'))
  })

  it('a sender’s id that JSON cannot carry exactly, or that is too long for a key, is none', async () => {
    const source = sourceOf({ preset: 'vercel', secrets: ['s'] })
    for (const id of ['12345678901234567890', `"${'x'.repeat(257)}"`, '""', '1.5', '{}']) {
      const body = `{"id":${id}}`
      const verification = await judge(source, {
        headers: { 'x-vercel-signature': hmac('sha1', 's', body) },
        body,
      })
      assert(verification.kind === 'verified')
      assert.equal(verification.delivery.verdict.senderId, null, id)
      assert.equal(verification.delivery.verdict.identity, 'DIGEST')
    }
  })
})

describe('lists of signatures', () => {
  const source = sourceOf({ preset: 'stripe', secrets: ['s'] })
  const good = hmac('sha256', 's', `${NOW}.{}`)
  const send = (header: string) => judge(source, { headers: { 'Stripe-Signature': header }, body: '{}' })

  it('any listed signature may match, in any order', async () => {
    for (const header of [
      `t=${NOW},v1=${good}`,
      `v1=${good},t=${NOW}`,
      `t=${NOW},v0=x,v1=${'0'.repeat(64)},v1=${good}`,
    ]) {
      assert.equal(codeOf(await send(header)), 'verified', header)
    }
  })

  it('what is not exactly a list is refused', async () => {
    const cases: Record<string, string> = {
      [`t=${NOW},t=${NOW},v1=${good}`]: 'malformed-signature',
      [`t=${NOW}, v1=${good}`]: 'malformed-signature',
      [`t=${NOW},v1=${good},`]: 'malformed-signature',
      [`t=${NOW},v1=${good},=x`]: 'malformed-signature',
      [`v1=${good}`]: 'missing-timestamp',
      [`t=,v1=${good}`]: 'missing-timestamp',
      [`t=${NOW}x,v1=${good}`]: 'malformed-timestamp',
      [`t=${NOW},v0=${good}`]: 'unknown-signature-version',
      [`t=${NOW},v1=`]: 'missing-signature',
      [`t=${NOW}${',v1=00'.repeat(40)}`]: 'malformed-signature',
    }
    for (const [header, code] of Object.entries(cases)) assert.equal(codeOf(await send(header)), code, header)
  })

  it('WorkOS and Sanity write the time first and one signature, and nothing else is taken', async () => {
    for (const [preset, header, encoding, comma] of [
      ['workos', 'WorkOS-Signature', 'hex', ', '],
      ['sanity', 'sanity-webhook-signature', 'base64url', ','],
    ] as const) {
      const fixed = sourceOf({ preset, secrets: ['s'] })
      const signature = hmac('sha256', 's', `${NOW_MS}.{}`, encoding)
      const judged = async (value: string) =>
        codeOf(await judge(fixed, { headers: { [header]: value }, body: '{}' }))
      assert.equal(await judged(`t=${NOW_MS}${comma}v1=${signature}`), 'verified')
      for (const value of [
        `v1=${signature}${comma}t=${NOW_MS}`,
        `t=${NOW_MS}${comma}v0=x${comma}v1=${signature}`,
        `t=${NOW_MS}${comma}v1=${signature}${comma}v1=${signature}`,
        `t=${NOW_MS}${comma}v1=${signature}${comma}`,
      ]) {
        assert.equal(await judged(value), 'malformed-signature', value)
      }
    }
  })
})
