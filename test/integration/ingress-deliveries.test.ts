import assert from 'node:assert/strict'
import { createHash, createHmac, randomUUID } from 'node:crypto'
import examplesOfGitHub from '@octokit/webhooks-examples' with { type: 'json' }
import type { Connection } from '@sallyport/core/connection'
import { partitionOf } from '@sallyport/core/partition'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { Webhook } from 'standardwebhooks'
import Stripe from 'stripe'
import { type RawRecord, Topics } from '../support/events.ts'
import { CRM, SECRET, send, signed, type TestIngress, testIngress, ticket } from '../support/ingress.ts'
import { PARTITIONS } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

interface Definition {
  readonly name: string
  readonly examples: readonly unknown[]
}

describe('deliveries into the topic', function () {
  this.timeout(60_000)
  let connection: Connection
  let topics: Topics
  let ingress: TestIngress | undefined

  before(async () => {
    connection = await sharedCluster()
    topics = new Topics(connection, PARTITIONS)
  })
  after(() => topics.close())
  afterEach(async () => {
    await ingress?.stop()
    ingress = undefined
  })

  async function started(yaml: string, secret: string = SECRET): Promise<TestIngress> {
    ingress = await testIngress(connection, yaml, { secret })
    await ingress.ready
    return ingress
  }

  async function recordsOf(source: string, count: number): Promise<RawRecord[]> {
    return await topics.read(EVENTS_TOPIC, record => record.headers.ce_source === source, count)
  }

  it('a signed ticket update is answered with its event id, and is in the topic under that key', async () => {
    const { url, source } = await started(CRM)
    const body = ticket({ status: 'error' })
    const answer = await send(`${url}/webhooks/${source}`, {
      body,
      headers: { ...signed(body), 'Content-Type': 'application/json', Authorization: 'Bearer x' },
    })
    const id = `${source}/${createHash('sha256').update(body).digest('hex')}`
    assert.equal(answer.status, 200, answer.text)
    assert.deepEqual(answer.json, { status: 'accepted', id })

    const [record] = await recordsOf(source, 1)
    assert.ok(record?.value)
    assert.equal(record.key, id)
    assert.equal(record.partition, partitionOf(Buffer.from(id), PARTITIONS))
    const { headers } = record
    assert.equal(headers.ce_specversion, '1.0')
    assert.equal(headers.ce_id, id)
    assert.equal(headers.ce_type, 'error')
    assert.ok(Math.abs(Date.parse(headers.ce_time ?? '') - Date.now()) < 30_000)
    assert.equal(headers.traceparent, answer.headers.traceresponse)

    const event = await topics.decode(record.value)
    assert.deepEqual(event.body, Buffer.from(body))
    assert.equal(event.identity, 'DIGEST')
    assert.equal(event.scheme, 'custom')
    assert.deepEqual({ ...(event.headers as object) }, {}, 'neither signature nor credentials are stored')
    assert.equal(JSON.stringify(event).includes(SECRET), false)
  })

  it('bytes that are not UTF-8 are stored as they came, where no field is required', async () => {
    const { url, source } = await started(`
sources:
  SOURCE:
    scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }
    secrets: ['\${file:FOLDER/secret}']
    headers: [User-Agent, X-Request-Kind]
`)
    const body = Buffer.from([0xff, 0xfe, 0x00, 0xc3, 0x28, 0x0a])
    const headers = { ...signed(body), 'User-Agent': 'crm/1', 'X-Request-Kind': ['a', 'b'] }
    const answer = await send(`${url}/webhooks/${source}`, { body, headers })
    assert.equal(answer.status, 200, answer.text)
    const [record] = await recordsOf(source, 1)
    const event = await topics.decode(record?.value as Buffer)
    assert.deepEqual(event.body, body)
    assert.deepEqual({ ...(event.headers as object) }, { 'user-agent': 'crm/1', 'x-request-kind': 'a, b' })
  })

  it('a body in chunks, and one announced with Expect: 100-continue, arrive like any other', async () => {
    const { url, source } = await started(CRM)
    const body = ticket()
    const chunks = [body.slice(0, 10), body.slice(10, 11), body.slice(11)]
    const chunked = await send(`${url}/webhooks/${source}`, { body: chunks, headers: signed(body) })
    assert.equal(chunked.status, 200, chunked.text)
    const other = ticket()
    const announced = await send(`${url}/webhooks/${source}`, {
      body: other,
      headers: { ...signed(other), Expect: '100-continue', 'Content-Length': Buffer.byteLength(other) },
    })
    assert.equal(announced.status, 200, announced.text)
    const records = await recordsOf(source, 2)
    const bodies = await Promise.all(
      records.map(async ({ value }) => (await topics.decode(value as Buffer)).body),
    )
    assert.deepEqual(new Set(bodies.map(String)), new Set([body, other]))
  })

  it("every one of GitHub's example payloads is stored unchanged under the digest of its bytes", async () => {
    const { url, source } = await started(`
sources:
  SOURCE: { preset: github, secrets: ['\${file:FOLDER/secret}'], headers: [X-GitHub-Event] }
`)
    const sent = new Map<string, { name: string; body: string }>()
    const examples = (examplesOfGitHub as unknown as Definition[]).flatMap(({ name, examples }) =>
      examples.map(payload => ({ name, payload })),
    )
    assert.ok(examples.length > 100)
    for (const { name, payload } of examples) {
      const body = JSON.stringify(payload, null, 2)
      const delivery = randomUUID()
      const answer = await send(`${url}/webhooks/${source}`, {
        body,
        headers: {
          'Content-Type': 'application/json',
          'X-GitHub-Event': name,
          'X-GitHub-Delivery': delivery,
          'X-Hub-Signature-256': `sha256=${createHmac('sha256', SECRET).update(body).digest('hex')}`,
        },
      })
      assert.equal(answer.status, 200, `${name}: ${answer.text}`)
      sent.set(answer.json.id as string, { name, body })
    }
    const records = await recordsOf(source, examples.length)
    assert.deepEqual(new Set(records.map(({ key }) => key)), new Set(sent.keys()))
    for (const { key, value, headers } of records) {
      const event = await topics.decode(value as Buffer)
      assert.equal(String(event.body), sent.get(key ?? '')?.body)
      assert.equal(headers.ce_type, event.type)
      assert.equal((event.headers as Record<string, string>)['x-github-event'], sent.get(key ?? '')?.name)
    }
  })

  it('what the library standardwebhooks signs is accepted under the signed message id', async () => {
    const secret = `whsec_${Buffer.from('a secret of twenty-four b').toString('base64')}`
    const yaml = `
sources:
  SOURCE: { preset: standard-webhooks, secrets: ['\${file:FOLDER/secret}'] }
`
    const { url, source } = await started(yaml, secret)
    const body = JSON.stringify({ type: 'user.created', data: { id: 1 } })
    const id = `msg_${randomUUID().replaceAll('-', '')}`
    const now = new Date()
    const headers = {
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1_000)),
      'webhook-signature': new Webhook(secret).sign(id, now, body),
    }
    const answer = await send(`${url}/webhooks/${source}`, { body, headers })
    assert.deepEqual(answer.json, { status: 'accepted', id: `${source}/${id}` }, answer.text)
    const [record] = await recordsOf(source, 1)
    assert.equal(record?.key, `${source}/${id}`)
    assert.equal(record?.headers.ce_type, 'user.created')
  })

  it("what Stripe's own library signs is accepted, and an altered copy is not", async () => {
    const { url, source } = await started(`
sources:
  SOURCE: { preset: stripe, secrets: ['\${file:FOLDER/secret}'] }
`)
    const stripe = new Stripe('sk_test_1')
    const payload = JSON.stringify({ id: `evt_${Date.now()}`, object: 'event', type: 'invoice.paid' })
    const header = stripe.webhooks.generateTestHeaderString({ payload, secret: SECRET })
    const headers = { 'Stripe-Signature': header }
    const answer = await send(`${url}/webhooks/${source}`, { body: payload, headers })
    assert.equal(answer.status, 200, answer.text)
    const altered = await send(`${url}/webhooks/${source}`, {
      body: payload.replace('paid', 'void'),
      headers,
    })
    assert.equal(altered.status, 401)
    const [record] = await recordsOf(source, 1)
    assert.equal(record?.key, answer.json.id)
    assert.equal(record?.headers.ce_type, 'invoice.paid')
  })

  it('a delivery that comes twice is two records with one key: nothing is answered from memory', async () => {
    // Proves S1.
    const { url, source } = await started(CRM)
    const body = ticket()
    const first = await send(`${url}/webhooks/${source}`, { body, headers: signed(body) })
    const second = await send(`${url}/webhooks/${source}`, { body, headers: signed(body) })
    assert.equal(second.json.id, first.json.id)
    const records = await recordsOf(source, 2)
    assert.deepEqual(
      records.map(({ key }) => key),
      [first.json.id, first.json.id],
    )
  })
})
