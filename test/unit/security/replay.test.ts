/** What a stranger can do with deliveries that were genuine once, and what failures make of new ones. */
import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { SallyportError } from '@sallyport/core/errors'
import type { TokenBucket } from '@sallyport/ingress/token-bucket'
import { type TestHandler, type TestHandlerOptions, testHandler } from '../../support/handler.ts'
import { send } from '../../support/ingress.ts'
import { hmac, NOW } from '../../support/signed-request.ts'

const GITHUB = { preset: 'github', secrets: ['s'] }
const STANDARD = { preset: 'standard-webhooks', secrets: ['whsec_c2VjcmV0'] }

const github = (body: string) => ({ 'X-Hub-Signature-256': `sha256=${hmac('sha256', 's', body)}` })
const standard = (id: string, body: string) => ({
  'webhook-id': id,
  'webhook-timestamp': String(NOW),
  'webhook-signature': `v1,${hmac('sha256', 'secret', `${id}.${NOW}.${body}`, 'base64')}`,
})

let handler: TestHandler

async function serve(
  sources: Parameters<typeof testHandler>[0],
  options: TestHandlerOptions = {},
): Promise<TestHandler> {
  handler = await testHandler(sources, options)
  return handler
}

describe('a replay', () => {
  afterEach(() => handler.close())

  it('under a fresh id, two ids or none is the same event, where the signature does not cover the id', async () => {
    const { url, keys } = await serve({ github: GITHUB })
    const body = '{"a":1}'
    for (const id of [{ 'X-GitHub-Delivery': 'd1' }, { 'X-GitHub-Delivery': 'd2' }, {}]) {
      assert.equal((await send(`${url}/github`, { body, headers: { ...github(body), ...id } })).status, 200)
    }
    const twice = { ...github(body), 'X-GitHub-Delivery': ['d3', 'd4'] }
    assert.equal((await send(`${url}/github`, { body, headers: twice })).status, 200)
    assert.equal(keys.length, 4)
    assert.equal(new Set(keys).size, 1)
  })

  it('without its signed id, or with that of another delivery, does not verify', async () => {
    const { url, keys } = await serve({ hooks: STANDARD })
    const { 'webhook-id': _, ...without } = standard('m1', '{}')
    const refused = await send(`${url}/hooks`, { body: '{}', headers: without })
    assert.equal(refused.status, 401)
    assert.equal(refused.json.code, 'missing-id')
    const swapped = { ...standard('m1', '{}'), 'webhook-id': 'm2' }
    assert.equal((await send(`${url}/hooks`, { body: '{}', headers: swapped })).json.code, 'wrong-signature')
    assert.deepEqual(keys, [])
  })

  it('with the signature in its other writing is the same event: ECDSA has two for one text', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const spki = createPublicKey(publicKey.export({ type: 'spki', format: 'pem' }))
    const publicKeys = [spki.export({ type: 'spki', format: 'der' }).toString('base64')]
    const { url, keys } = await serve({ mail: { preset: 'sendgrid', publicKeys } })
    const body = '[{"event":"open"}]\r\n'
    const raw = sign('sha256', Buffer.from(`${NOW}${body}`), { key: privateKey, dsaEncoding: 'ieee-p1363' })
    const proofs = [raw, otherWriting(raw)].map(bytes => der(bytes).toString('base64'))
    assert.notEqual(proofs[0], proofs[1])
    for (const proof of proofs) {
      const headers = {
        'X-Twilio-Email-Event-Webhook-Signature': proof,
        'X-Twilio-Email-Event-Webhook-Timestamp': String(NOW),
      }
      assert.equal((await send(`${url}/mail`, { body, headers })).status, 200)
    }
    assert.equal(keys.length, 2)
    assert.equal(keys[0], keys[1])
  })

  it('at another source of the same secret is an event of that source', async () => {
    const { url, keys } = await serve({ one: STANDARD, two: STANDARD })
    for (const name of ['one', 'two']) {
      assert.equal((await send(`${url}/${name}`, { body: '{}', headers: standard('m1', '{}') })).status, 200)
    }
    assert.deepEqual(keys, ['one/m1', 'two/m1'])
  })
})

describe('different deliveries', () => {
  afterEach(() => handler.close())

  it('without any id are different events, never one under a common constant', async () => {
    const { url, keys } = await serve({ github: GITHUB })
    for (const body of ['{"a":1}', '{"a":2}', '[]', '{}', ' {}']) {
      assert.equal((await send(`${url}/github`, { body, headers: github(body) })).status, 200)
    }
    assert.equal(new Set(keys).size, 5)
  })
})

describe('a forgery', () => {
  afterEach(() => handler.close())

  it('burns no id: the genuine delivery of the same id is accepted after any number of them', async () => {
    const { url, keys } = await serve({ hooks: STANDARD })
    for (const forged of ['{"x":1}', '{"x":2}', '{"x":3}']) {
      const headers = { ...standard('m1', '{}') }
      assert.equal((await send(`${url}/hooks`, { body: forged, headers })).status, 401)
    }
    assert.deepEqual(keys, [])
    assert.equal((await send(`${url}/hooks`, { body: '{}', headers: standard('m1', '{}') })).status, 200)
    assert.deepEqual(keys, ['hooks/m1'])
  })
})

describe('answers', () => {
  afterEach(() => handler.close())

  it('to what Kafka does not take are 503 with Retry-After, never 2xx and never a 4xx that ends the sender’s tries', async () => {
    for (const failure of [
      new SallyportError('SP_NOT_PUBLISHED', 'not in time'),
      new Error('MESSAGE_TOO_LARGE'),
      new TypeError('a defect'),
    ]) {
      const { url } = await serve({ github: GITHUB }, { publish: () => Promise.reject(failure) })
      const answer = await send(`${url}/github`, { body: '{}', headers: github('{}') })
      assert.equal(answer.status, 503)
      assert.ok(Number(answer.headers['retry-after']) >= 1)
      assert.equal(answer.text.includes(failure.message), false)
      handler.close()
    }
  })

  it('to a defect within the ingress are 500 without its words, and the next delivery is taken (S4)', async () => {
    let broken = true
    const bucket = {
      take() {
        if (broken) throw new TypeError('inner words')
        return 0
      },
    } as unknown as TokenBucket
    const { url, keys, lines } = await serve({ github: GITHUB }, { door: { bucket } })
    const answer = await send(`${url}/github`, { body: '{}', headers: github('{}') })
    assert.equal(answer.status, 500)
    assert.equal(answer.json.code, 'internal-error')
    assert.equal(answer.text.includes('inner words'), false)
    assert.ok(lines.some(line => line.includes('inner words')))
    broken = false
    assert.equal((await send(`${url}/github`, { body: '{}', headers: github('{}') })).status, 200)
    assert.equal(keys.length, 1)
  })

  it('to bodies over the limit are 413, not a 503 that would be retried for ever, and reach no publisher', async () => {
    const { url, keys } = await serve({ github: GITHUB }, { ingress: 'bodyBytesMax: 1024' })
    const body = 'x'.repeat(1025)
    for (const sent of [body, [body.slice(0, 600), body.slice(600)]]) {
      const answer = await send(`${url}/github`, { body: sent, headers: github(body) })
      assert.equal(answer.status, 413)
      assert.equal(answer.headers['retry-after'], undefined)
    }
    assert.deepEqual(keys, [])
    const longest = 'x'.repeat(1024)
    assert.equal((await send(`${url}/github`, { body: longest, headers: github(longest) })).status, 200)
  })
})

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** (r, n − s) verifies wherever (r, s) does. */
function otherWriting(raw: Buffer): Buffer {
  const s = ORDER - BigInt(`0x${raw.subarray(32).toString('hex')}`)
  return Buffer.concat([raw.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')])
}

function der(raw: Buffer): Buffer {
  const parts = [raw.subarray(0, 32), raw.subarray(32)].map(number => {
    const start = number.findIndex(byte => byte !== 0)
    const bare = number.subarray(start)
    const padded = (bare[0] ?? 0) > 127 ? Buffer.concat([Buffer.alloc(1), bare]) : bare
    return Buffer.concat([Buffer.from([2, padded.length]), padded])
  })
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([0x30, content.length]), content])
}
